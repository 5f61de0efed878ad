package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// A panel is the dashboard of the real binary in a real browser, and the API
// that it is in front of.
type panel struct {
	*page
	server *running
	asked  atomic.Int64 // of the API
	slow   atomic.Int64 // of this for what is polled once an hour
	broken atomic.Bool
	told   <-chan string // what the page wrote to its console
}

// hostile is text that would run if it were taken for HTML.
const hostile = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>`

// openPanel has three watch, one of them a URL that is hostile and private.
func openPanel(t *testing.T, yaml string, flags ...chromedp.ExecAllocatorOption) *panel {
	t.Parallel()
	p := &panel{page: openPage(t, flags...)}
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := p.asked.Add(1)
		if r.URL.Path == "/slow" {
			p.slow.Add(1)
		}
		if p.broken.Load() {
			w.WriteHeader(http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"counter":%d,"secret":"hush-%d","pad":%q,%q:%d}`, n, n, strings.Repeat("x", 300), hostile, n)
	}))
	t.Cleanup(legacy.Close)
	p.server = serveConfig(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\ndrain: 0s\nupstream: "+legacy.URL+"\n"+yaml+
		"endpoints:\n  - {path: \"/api/{x...}\", interval: 50ms, vary: [Authorization]}\n  - {path: /slow, interval: 1h}\n")
	p.watch("/api/orders", "")
	p.watch("/api/orders", "")
	p.watch("/api/"+strings.ReplaceAll(hostile, "/", "")+"?token=hush", "hush-token")
	p.told = p.console()
	return p
}

// watch has somebody follow a URL until the test ends.
func (p *panel) watch(path, authorization string) {
	p.t.Helper()
	c, err := net.Dial("tcp", p.server.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	path = strings.NewReplacer("<", "%3C", ">", "%3E", `"`, "%22", " ", "%20").Replace(path)
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\nAuthorization: %s\r\n\r\n", path, authorization)
	go io.Copy(io.Discard, c)
}

// console takes what the page writes to its console from now on.
func (p *panel) console() <-chan string {
	told := make(chan string, 1000)
	messages := chromedp.Console(p.ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			told <- fmt.Sprint(m)
		}
	}()
	return told
}

// resize makes the window so wide, and prefer a colour scheme.
func (p *panel) resize(width int64, scheme string) {
	p.t.Helper()
	err := chromedp.Do(p.ctx, chromedp.EmulateViewport(width, 800))
	if err == nil {
		err = chromedp.Do(p.ctx, chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
			features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
			_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
			return err
		}))
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// fits holds that nothing sticks out of the page, from a phone on.
func (p *panel) fits() {
	p.t.Helper()
	for _, width := range []int64{320, 375, 768, 1280} {
		p.resize(width, "light")
		if got := p.value("document.documentElement.scrollWidth + ''"); got != fmt.Sprint(width) {
			p.t.Errorf("%s: at %d px the page is %s px wide", p.value("location.hash"), width, got)
		}
	}
}

func (p *panel) home() string { return "http://" + p.server.admin + "/" }

// TestDashboard opens the page and sees it follow what happens, without being
// loaded again.
func TestDashboard(t *testing.T) {
	p := openPanel(t, "")
	p.open(p.home())
	p.until(`document.querySelectorAll("a.name[href^='#/resource/']").length === 2`)
	p.until(`document.querySelector("#link").textContent === "live"`)
	p.value(`window.marker = "still here"`)
	p.until(`/[1-9].*avoided/.test(document.querySelector(".saving .figure").textContent)`)
	before := p.value(`document.querySelector(".polls span").textContent`)
	p.until(`document.querySelector(".polls span").textContent !== "` + before + `"`)
	p.until(`document.querySelector(".moment").textContent.includes("3 watchers of 2 resources")`)

	t.Log(p.value(`document.querySelector(".moment").textContent`))
	p.value(`(document.querySelector("details").open = true, "")`)
	p.until(`document.querySelector(".sum").checkVisibility() && /= avoided/.test(document.querySelector(".sum").textContent)`)
	p.fits()

	// What fails is said, with the reason, and so is that it is over.
	p.broken.Store(true)
	p.until(`document.querySelectorAll("tr.stale").length === 2 && document.querySelector("tr.stale").textContent.includes("418 I'm a teapot; the last good answer came")`)
	p.until(`document.title.startsWith("(2 failing)")`)
	p.broken.Store(false)
	p.until(`document.querySelectorAll("tr.live").length === 2 && !document.title.includes("failing")`)

	// Filters and orders are part of the address.
	p.value(`(document.querySelector("[data-order=path] button").click(), "")`)
	p.until(`location.hash === "#/?order=path" && document.querySelector("[data-order=path]").getAttribute("aria-sort") === "ascending"`)
	p.open(p.home() + "#/?text=orders&state=live")
	p.until(`document.querySelectorAll("a.name[href^='#/resource/']").length === 1 && document.body.textContent.includes("1 found")`)
	p.open(p.home() + "#/?state=over")
	p.until(`document.body.textContent.includes("No resource is like that at present")`)
	if got := p.value(`window.marker`); got != "still here" {
		t.Errorf("the page was loaded again: %q", got)
	}

	// The colours are those that the reader's system has.
	for scheme, want := range map[string]string{"dark": "true", "light": "false"} {
		p.resize(1280, scheme)
		p.until(`(getComputedStyle(document.body).backgroundColor.match(/\d+/g).every(v => v < 60)) === ` + want)
	}

	// It says so when the connection is lost.
	p.server.signal(syscall.SIGKILL)
	p.until(`document.querySelector("#link").textContent.includes("connection lost")`)
}

// TestDashboardResource opens the page of one resource: a private one whose
// path is made to run as a script, and whose values may not be shown.
func TestDashboardResource(t *testing.T) {
	p := openPanel(t, "")
	p.open(p.home())
	p.until(`document.querySelectorAll("a.name[href^='#/resource/']").length === 2`)
	p.value(`([...document.querySelectorAll("a.name")].find(a => a.textContent.includes("onerror")).click(), "")`)
	p.until(`document.querySelectorAll("table.list tbody tr").length >= 10 && document.querySelectorAll(".change").length >= 3`)
	p.until(`document.querySelector(".change .path").textContent.startsWith("/counter")`)
	first := p.value(`document.querySelector("tbody tr .at").textContent`)
	p.until(`document.querySelector("tbody tr .at").textContent !== "` + first + `"`)
	p.until(`document.querySelector("tbody").textContent.includes("sent as a patch")`)
	if text := p.value(`document.body.innerText`); !strings.Contains(text, "%3Cimg") || !strings.Contains(text, "/<img src=x onerror=") || !strings.Contains(text, "admin_bodies is false") {
		t.Errorf("the page says %s", text)
	}
	if html := p.value(`document.documentElement.outerHTML`); strings.Contains(html, "hush") {
		t.Error("the page has what it must not show")
	}
	p.fits()

	// It can be polled at once.
	p.value(`([...document.querySelectorAll("button")].find(b => b.textContent === "Poll now").click(), "")`)
	p.until(`document.querySelector(".title").textContent.includes("asked")`)
	if got := p.value(`String(window.hacked) + document.querySelectorAll("main img, main script").length`); got != "undefined0" {
		t.Errorf("text of the upstream's was taken for HTML: %s", got)
	}
	for len(p.told) > 0 {
		t.Errorf("console: %s", <-p.told)
	}
}

// TestDashboardBodies shows values where the configuration lets it.
func TestDashboardBodies(t *testing.T) {
	p := openPanel(t, "admin_bodies: true\n")
	p.open(p.home())
	p.until(`document.querySelectorAll("a.name[href^='#/resource/']").length === 2`)
	p.value(`(document.querySelector("a.name[href^='#/resource/']").click(), "")`)
	p.until(`[...document.querySelectorAll(".change li")].some(li => /^~\/secret"hush-\d+""hush-\d+"$/.test(li.textContent))`)
	p.until(`[...document.querySelectorAll(".change li")].some(li => { const [del, ins] = ["del", "ins"].map(it => +li.querySelector(it)?.textContent); return li.textContent.includes("/counter") && del < ins })`)
	if got := p.value(`String(window.hacked) + document.querySelectorAll("main img, main script").length`); got != "undefined0" {
		t.Errorf("a value was taken for HTML: %s", got)
	}
	p.fits()
}

// TestDashboardOfOthers: a page of another site can neither have anything done
// nor, by a name that it has pointed here, read anything.
func TestDashboardOfOthers(t *testing.T) {
	p := openPanel(t, "", chromedp.Flag("host-resolver-rules", "MAP evil.test 127.0.0.1"))
	_, port, _ := net.SplitHostPort(p.server.admin)
	p.open("http://evil.test:" + port + "/")
	if text := p.value(`document.body.innerText`); !strings.Contains(text, "admin_hosts") {
		t.Errorf("by another name it says %q", text)
	}
	read := `(async () => { try { return (await fetch("/status")).status + "" } catch (e) { return e.name } })()`
	if got := p.await(read); got != "403" {
		t.Errorf("a page that has pointed its name here reads %s", got)
	}
	p.open(emptySite(t))
	if got := p.await(`(async () => { try { return await (await fetch("` + p.home() + `status")).text() } catch (e) { return e.name } })()`); got != "TypeError" {
		t.Errorf("another site reads %.100q", got)
	}
	if got := p.await(`new Promise(done => { const s = new WebSocket("` + strings.Replace(p.home(), "http", "ws", 1) + `status"); s.onopen = () => done("open"); s.onerror = () => done("refused") })`); got != "refused" {
		t.Errorf("another site's socket is %s", got)
	}
	p.watch("/slow", "")
	p.polled(1)
	p.await(`fetch("` + p.home() + `refresh", {method: "POST", mode: "no-cors"}).then(() => "answered", e => e.name)`)
	p.await(`new Promise(done => { const f = document.createElement("form"), i = document.createElement("iframe"); i.name = f.target = "it"; f.method = "POST"; f.action = "` + p.home() + `refresh"; document.body.append(i, f); i.onload = () => done(""); f.submit() })`)
	p.open(p.home())
	p.await(`fetch("/refresh", {method: "POST"}).then(r => r.text())`)
	p.polled(2)
}

// polled waits until what is polled once an hour was so often, and not more.
func (p *panel) polled(times int64) {
	p.t.Helper()
	for deadline := time.Now().Add(patience); p.slow.Load() < times && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if got := p.slow.Load(); got != times {
		p.t.Errorf("/slow was polled %d times, want %d", got, times)
	}
}

// await is the value of a promise, a string.
func (p *panel) await(script string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", script, err)
	}
	return v
}
