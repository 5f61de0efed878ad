package proxy

import (
	"fmt"
	"testing"
	"time"
)

// TestCountsWhatClientsGet: what the counts of a rule say was sent is what its
// clients have received, each in its own way.
func TestCountsWhatClientsGet(t *testing.T) {
	within(t, `
endpoints:
  - {path: "/api/{x}", interval: 10s, vary: []}
  - {path: "/never", interval: 10s}
`, func(w *world) {
		version := 0
		change := func() {
			version++
			w.json(fmt.Sprintf(`{"n":%d,"pad":"%s"}`, version, big))
			time.Sleep(10 * time.Second)
		}
		change()
		frames := make(chan int, 100) // the lengths of those that came, header included
		for range 5 {
			c, _ := w.handshake("GET /api/x HTTP/1.1\r\n" + upgradeLines + "\r\n")
			go func() {
				for {
					first, payload, err := c.readFrame()
					if err != nil {
						return
					}
					if first == opPing {
						continue
					}
					n := 2 + len(payload)
					if len(payload) > 125 {
						n += 2
					}
					frames <- n
				}
			}()
		}
		events := make(chan int, 100)
		stream := w.events("/api/x")
		go func() {
			for range 3 {
				if e := stream.next(); e.name != "" {
					events <- len("event: \nid: \ndata: \n\n") + len(e.name) + len(e.id) + len(e.data)
				}
			}
		}()
		time.Sleep(5 * time.Second)
		change()
		_, first := w.do("GET", "/api/x")
		res, second := w.do("GET", "/api/x", `If-None-Match: "none"`)
		w.do("GET", "/api/x", "If-None-Match: "+res.Header.Get("Etag"))
		stream.cancel()
		time.Sleep(time.Second)

		var snapshots, patches, messages int
		for _, received := range []chan int{frames, events} {
			for len(received) > 0 {
				messages++
				if n := <-received; n < len(big) {
					patches += n
				} else {
					snapshots += n
				}
			}
		}
		if messages != 12 {
			t.Fatalf("%d messages were received, want 12", messages)
		}
		rules := w.proxy.Rules()
		if len(rules) != 2 || rules[1].Rule != "/never" || rules[1].Polls() != 0 {
			t.Fatalf("rules %+v", rules)
		}
		c := rules[0]
		if c.Snapshots != 6 || c.Patches != 6 || int(c.SnapshotBytes) != snapshots || int(c.PatchBytes) != patches {
			t.Errorf("%d snapshots of %d bytes and %d patches of %d bytes; 6 of %d bytes were received, and 6 of %d", c.Snapshots, c.SnapshotBytes, c.Patches, c.PatchBytes, snapshots, patches)
		}
		if got, want := c.WouldRequests-c.WatchedSeconds/10, 6.0+3; c.Joined != 6 || got < want-1e-6 || got > want+1e-6 {
			t.Errorf("%d came, and beside watching there would have been %f requests; want 6 and %f", c.Joined, got, want)
		}
		if c.Answers != 3 || int(c.AnswerBytes) != len(first)+len(second) {
			t.Errorf("%d answers of %d bytes; 3 of %d bytes were received", c.Answers, c.AnswerBytes, len(first)+len(second))
		}
		if c.Watchers != 5 || c.Resources != 1 || c.Failing != 0 {
			t.Errorf("%d watchers, %d resources, %d failing; want 5, 1, none", c.Watchers, c.Resources, c.Failing)
		}
	})
}
