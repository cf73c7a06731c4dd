package libcontainer

import (
	"slices"
	"strconv"
	"strings"
)

// environment returns the environment of the program. The last value of a variable wins, and
// HOME is filled in. The variables of socket activation match the descriptors that are
// really passed.
func environment(env []string, home string, listenFDs int) []string {
	env = lastWins(env)
	if home != "" {
		env = setEnv(env, "HOME", home)
	}
	if listenFDs > 0 {
		env = setEnv(env, "LISTEN_FDS", strconv.Itoa(listenFDs))
		env = setEnv(env, "LISTEN_PID", "1")
	}
	return env
}

func lastWins(env []string) []string {
	at := make(map[string]int, len(env))
	out := make([]string, 0, len(env)+3)
	for _, kv := range env {
		k, _, _ := strings.Cut(kv, "=")
		if i, ok := at[k]; ok {
			out[i] = kv
			continue
		}
		at[k] = len(out)
		out = append(out, kv)
	}
	return out
}

func setEnv(env []string, key, value string) []string {
	i := slices.IndexFunc(env, func(kv string) bool { return strings.HasPrefix(kv, key+"=") })
	if i < 0 {
		return append(env, key+"="+value)
	}
	env[i] = key + "=" + value
	return env
}

func (c *creation) environment(env []string, home string) []string {
	env = environment(env, home, c.o.ListenFDs)
	if c.o.NotifySocket != "" {
		env = setEnv(env, "NOTIFY_SOCKET", notifyPath)
	}
	return env
}
