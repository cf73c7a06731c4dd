// Package publish sends the events of a shim to containerd, in order.
package publish

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/ttrpc"
	"github.com/onggi-dev/onggi/cmd/containerd-shim-onggi-v1/internal/wire"
)

const (
	service = "containerd.services.events.ttrpc.v1.Events"
	// tryTime bounds one attempt. keepTime is the longest time that an event waits.
	// containerd does not answer for some seconds while it restarts.
	tryTime  = 5 * time.Second
	keepTime = time.Minute
	// most bounds the number of waiting events. A pod has about twelve events in its life.
	most = 4096
)

// Publisher sends events to one containerd.
type Publisher struct {
	address   string
	namespace string
	log       func(string)
	client    *ttrpc.Client // nil while there is no connection

	mu     sync.Mutex
	queue  []*wire.Envelope
	wake   chan struct{} // holds one element while the queue is not empty
	idle   *sync.Cond
	closed bool
}

// New returns a publisher for the server at address, and starts its goroutine. A publisher
// with an empty address discards the events.
func New(address, namespace string, log func(string)) *Publisher {
	p := &Publisher{address: address, namespace: namespace, log: log, wake: make(chan struct{}, 1)}
	p.idle = sync.NewCond(&p.mu)
	go p.run()
	return p
}

// Send queues one event. It does not block.
func (p *Publisher) Send(topic, typeURL string, m wire.Message) {
	if p.address == "" {
		return
	}
	event, err := wire.Pack(typeURL, m)
	if err != nil {
		p.log(err.Error())
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) >= most {
		p.log("dropped the event " + topic + ": too many are waiting")
		return
	}
	p.queue = append(p.queue, &wire.Envelope{Timestamp: wire.At(time.Now()), Namespace: p.namespace, Topic: topic, Event: event})
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Flush waits until the queue is empty, at most for the given time.
func (p *Publisher) Flush(most time.Duration) {
	timer := time.AfterFunc(most, func() {
		p.mu.Lock()
		p.closed = true
		p.mu.Unlock()
		p.idle.Broadcast()
	})
	defer timer.Stop()
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.queue) > 0 && !p.closed {
		p.idle.Wait()
	}
}

func (p *Publisher) run() {
	for range p.wake {
		for e := p.first(); e != nil; e = p.first() {
			p.deliver(e)
			p.drop()
		}
	}
}

func (p *Publisher) first() *wire.Envelope {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) == 0 {
		p.idle.Broadcast()
		return nil
	}
	return p.queue[0]
}

func (p *Publisher) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = p.queue[1:]
}

// deliver sends one event. It repeats failed attempts until keepTime has passed.
func (p *Publisher) deliver(e *wire.Envelope) {
	began := time.Now()
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := p.try(e)
		if err == nil {
			return
		}
		if time.Since(began) > keepTime {
			p.log(fmt.Sprintf("dropped the event %s: %v", e.Topic, err))
			return
		}
		<-time.After(pause)
	}
}

func (p *Publisher) try(e *wire.Envelope) error {
	if p.client == nil {
		client, err := ttrpc.Connect(p.address)
		if err != nil {
			return err
		}
		p.client = client
	}
	ctx, stop := context.WithTimeout(context.Background(), tryTime)
	defer stop()
	namespace := []*wire.KeyValue{{Key: "containerd-namespace-ttrpc", Value: p.namespace}}
	err := p.client.Call(ctx, service, "Forward", namespace, &wire.ForwardRequest{Envelope: e}, &wire.Empty{})
	if err != nil {
		p.client.Close()
		p.client = nil
	}
	return err
}
