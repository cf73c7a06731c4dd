package engines

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// swarm is two nodes that a veth pair connects. Each is a dockerd in a network namespace of its own.
func swarm() engine {
	return engine{
		name:    "docker swarm",
		needs:   docker().needs,
		version: docker().version,
		start: func(t *testing.T) client {
			if out, err := exec.Command("ip", "link", "add", "try", "type", "vxlan", "id", "7", "dstport", "4789").CombinedOutput(); err != nil {
				t.Skipf("the kernel has no vxlan: %s", out)
			}
			exec.Command("ip", "link", "del", "try").Run()
			manager, worker := newNode(t, 1), newNode(t, 2)
			shell(t, "ip link add eth1 netns node1 type veth peer name eth1 netns node2")
			for i := range 2 {
				shell(t, fmt.Sprintf("ip -n node%d addr add 10.99.0.%[1]d/24 dev eth1; ip -n node%[1]d link set eth1 up", i+1))
			}
			manager.ok("swarm", "init", "--advertise-addr=10.99.0.1", "--default-addr-pool=10.98.0.0/16")
			worker.ok("swarm", "join", "--token="+manager.ok("swarm", "join-token", "--quiet", "worker"), "10.99.0.1:2377")
			manager.Cleanup(func() {
				worker.try("swarm", "leave")
				manager.try("swarm", "leave", "--force")
			})
			return manager
		},
		cases: []testCase{
			{"service on both nodes", func(c *client) {
				c.service("s1", "--replicas=2")
				for _, node := range []string{"node1", "node2"} {
					c.is(c.ok("service", "ps", "--filter=desired-state=running", "--filter=node="+node, "--format={{.CurrentState}}", "s1")[:7], "Running")
				}
			}},
			// Host's ports and DNS instead of the routing mesh and virtual addresses: those take IPVS, which not every kernel has.
			{"published port", func(c *client) {
				c.service("s2", "--mode=global", "--publish=mode=host,published=18082,target=80")
				for _, node := range []string{"10.99.0.1", "10.99.0.2"} {
					c.has(onNode(c.T, 1, "busybox wget -qO- http://"+node+":18082/"), "it works")
				}
			}},
			{"overlay network between the nodes", func(c *client) {
				c.later("network", "rm", "o1")
				c.ok("network", "create", "--driver=overlay", "--attachable", "o1")
				c.service("s3", "--network=o1", "--endpoint-mode=dnsrr", "--constraint=node.role==worker")
				c.until("1 packets received", "run", "--rm", "--network=o1", image, "ping", "-c", "1", "-W", "2", "s3")
			}},
			{"scale", func(c *client) {
				c.service("s4", "--replicas=1")
				c.ok("service", "scale", "--detach", "s4=4")
				c.until("4/4", "service", "ls", "--filter=name=s4", "--format={{.Replicas}}")
			}},
			{"rolling update", func(c *client) {
				c.service("s5", "--replicas=2")
				c.ok("service", "update", "--env-add=ROLLED=1", "--update-parallelism=1", "--update-monitor=1ms", "s5")
				c.has(c.ok("service", "inspect", "--format={{.UpdateStatus.State}}", "s5"), "completed")
			}},
			{"secret, limits", func(c *client) {
				place(c.T, filepath.Join(env.dir, "secret"), "hush")
				c.later("secret", "rm", "k1")
				c.ok("secret", "create", "k1", filepath.Join(env.dir, "secret"))
				c.service("s6", "--secret=k1", "--limit-memory=32m", "--constraint=node.role==manager")
				id := c.ok("ps", "--quiet", "--filter=name=s6")
				c.is(c.ok("exec", id, "cat", "/run/secrets/k1", "/sys/fs/cgroup/memory/memory.limit_in_bytes"), "hush33554432")
			}},
		},
	}
}

// service starts web servers that are removed when the test case ends.
func (c *client) service(name string, flags ...string) {
	c.Helper()
	c.later("service", "rm", name)
	args := append([]string{"service", "create", "--detach", "--name=" + name, "--no-resolve-image", "--stop-grace-period=0s"}, flags...)
	c.ok(append(args, image, "httpd", "-f", "-h", "/var/www")...)
	var replicas string
	for deadline := time.Now().Add(slowly(30 * time.Second)); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		replicas = c.ok("service", "ls", "--filter=name="+name, "--format={{.Replicas}}")
		running, wanted, _ := strings.Cut(replicas, "/")
		if running == wanted && running != "0" {
			return
		}
	}
	c.Fatalf("service %s has %s replicas", name, replicas)
}

// newNode starts a dockerd that has the image, in a new network namespace.
func newNode(t *testing.T, number int) client {
	t.Helper()
	name := fmt.Sprintf("node%d", number)
	shell(t, "ip netns add "+name+"; ip -n "+name+" link set lo up")
	t.Cleanup(func() { exec.Command("ip", "netns", "del", name).Run() })
	run, data := "/run/"+name, filepath.Join(env.dir, name)
	config, err := json.Marshal(nodeConfig(t, run, data))
	if err != nil {
		t.Fatal(err)
	}
	place(t, data+".json", string(config))
	socket := "unix://" + run + "/docker.sock"
	ready := func() error { return exec.Command("docker", "--host="+socket, "version").Run() }
	// The name of the machine is the name of the node, and its /sys shows its own network.
	command := fmt.Sprintf(`hostname %[1]s
		mkdir %[2]s && mount --rbind /sys/fs/cgroup %[2]s && mount -t sysfs sysfs /sys && mount --rbind %[2]s /sys/fs/cgroup
		exec dockerd --config-file %[3]s.json`, name, run+".cgroup", data)
	d := serve(t, ready, "nsenter", "--net=/run/netns/"+name, "unshare", "--uts", "--mount", "sh", "-ec", command)
	c := client{T: t, command: []string{"docker", "--host=" + socket}, daemon: d}
	c.ok("load", "-i", env.image)
	return c
}

// nodeConfig is the page's daemon.json, with directories of the node's own.
func nodeConfig(t *testing.T, run, data string) object {
	t.Helper()
	config := object{}
	if env.kind != "runc" {
		configure(t, "docker.md")
		page, err := os.ReadFile("/etc/docker/daemon.json")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(page, &config); err != nil {
			t.Fatal(err)
		}
	}
	config["hosts"] = []string{"unix://" + run + "/docker.sock"}
	config["data-root"], config["exec-root"], config["pidfile"] = data, run, run+".pid"
	return config
}

// onNode runs a command in a node's network namespace and returns its output.
func onNode(t *testing.T, number int, command string) string {
	t.Helper()
	out, err := exec.Command("nsenter", append([]string{fmt.Sprintf("--net=/run/netns/node%d", number)}, strings.Fields(command)...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

// shell runs a script that has to succeed.
func shell(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("sh", "-ec", script).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
}
