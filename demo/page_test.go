package demo

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pollbridge/config"
	"pollbridge/proxy"
)

// serve puts the real proxy, configured as the demo is, before the legacy
// backend and returns the backend and the proxy's URL.
func serve(t *testing.T) (*Legacy, string) {
	t.Helper()
	l := New(1)
	upstream := httptest.NewServer(l)
	t.Cleanup(upstream.Close)
	cfg, err := config.Parse("config.yaml", Config(upstream.URL, "127.0.0.1:0"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(cfg, proxy.Options{Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	front := httptest.NewServer(p)
	t.Cleanup(front.CloseClientConnections)
	return l, front.URL + "/"
}

// TestPage is the demo as a colleague sees it: a real browser, the real proxy,
// the real backend, and every switch that the page has.
func TestPage(t *testing.T) {
	p := openTab(t, 5*patience)
	l, url := serve(t)
	p.resize(t, 1440, 900, "light")
	p.do(t, "opening the page", chromedp.Navigate(url))

	t.Run("both halves fill and count", func(t *testing.T) {
		p.until(t, `polling.stations.size === 600 && pushed.stations.size === 600`)
		before := eval[[4]int](t, p, `[polling.total.count, polling.total.bytes, pushed.total.count, pushed.total.bytes]`)
		p.until(t, fmt.Sprintf(`polling.total.count >= %d && pushed.total.count >= %d`, before[0]+2, before[2]+2))
		after := eval[[4]int](t, p, `[polling.total.count, polling.total.bytes, pushed.total.count, pushed.total.bytes]`)
		if after[1] <= before[1] || after[3] <= before[3] {
			t.Errorf("bytes went from %d and %d to %d and %d", before[1], before[3], after[1], after[3])
		}
		p.until(t, `["#polling .median", "#pushed .median", "#fewer", "#fresher", "#load-pushed"].every(it => /\d/.test($(it).textContent))`)
	})
	t.Run("the source shown is the source that runs", func(t *testing.T) { checkSources(t, p) })
	t.Run("other shapes", func(t *testing.T) { checkShapes(t, p) })
	t.Run("before it was opened", func(t *testing.T) { checkBefore(t, p) })
	t.Run("a frozen city", func(t *testing.T) { checkFreeze(t, p, l) })
	t.Run("an outage", func(t *testing.T) { checkOutage(t, p) })
	t.Run("more tabs", func(t *testing.T) { checkTabs(t, p) })
	t.Run("per user", func(t *testing.T) { checkUsers(t, p) })
	t.Run("patches", func(t *testing.T) { checkPatches(t, p) })
	t.Run("layout", func(t *testing.T) { checkLayout(t, p) })
	for _, m := range p.console() {
		refused := m.Source == "network" && strings.Contains(m.Text, "503") // the outage, which the browser reports by itself
		if !refused && (m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException()) {
			t.Errorf("console: %v at %s:%d", m, m.URL, m.Line)
		}
	}
}

// checkSources holds that what the panels show of their source is the text of
// the script elements, and that these are what polls and what watches.
func checkSources(t *testing.T, p *tab) {
	for _, c := range []struct{ shown, script, calls string }{
		{"#polling .code", "the-old-way", "setInterval("},
		{"#pushed .code", "the-new-way", "pollbridge.watch("},
	} {
		shown := eval[string](t, p, fmt.Sprintf(`$(%q).textContent`, c.shown))
		source := eval[string](t, p, fmt.Sprintf(`document.getElementById(%q).textContent.trim()`, c.script))
		if shown != source || !strings.Contains(source, c.calls) {
			t.Errorf("%s shows\n%s\nand the script is\n%s", c.shown, shown, source)
		}
	}
	p.until(t, `/^[3-7][.\d]* KB, no library$/.test($("#client-size").textContent)`)
}

func checkShapes(t *testing.T, p *tab) {
	p.until(t, `[...$("#shapes").querySelectorAll("footer")].every(it => it.textContent !== "waiting")`)
	p.until(t, `$("#rules").textContent.startsWith("endpoints:")`)
	p.until(t, `document.querySelectorAll("#shapes .rows li").length >= 6`)
	eval[any](t, p, `choose.value = "strand", choose.onchange()`)
	p.until(t, `$(".towers").children.length === 50 && quarter.title.textContent === "/api/stations/strand"`)
}

// checkBefore holds that a change from before the page was opened, which a
// document that pollbridge remembers is followed by, is drawn and is no age.
func checkBefore(t *testing.T, p *tab) {
	const long = `performance.timeOrigin - 600_000`
	eval[any](t, p, `{
		const document = pushed.document(), {data, ...rest} = document, [first, ...others] = data.stations;
		pushed.show({...rest, data: {...data, stations: [{...first, is_renting: false, num_bikes_available: 0, last_reported: `+long+`}, ...others]}});
		pushed.show(document);
	}`)
	if n := eval[int](t, p, `pushed.summary().ages.filter(({at, age}) => at - age < performance.timeOrigin).length`); n > 0 {
		t.Errorf("%d ages are of changes from before the page was opened", n)
	}
}

// checkFreeze stops the city, compares both halves with the upstream itself,
// and sees that polling goes on paying for nothing new and pushing does not.
func checkFreeze(t *testing.T, p *tab, l *Legacy) {
	eval[any](t, p, `$("#freeze").click()`)
	p.until(t, `switches.freeze > Date.now()`)
	ask(l, "POST", "/admin/freeze?seconds=60") // as long as a slow machine needs
	want := document600(t, ask(l, "GET", "/api/stations").Body.String())
	for _, half := range []string{"polling", "pushed"} {
		equal := false
		for deadline := time.Now().Add(patience); !equal && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			equal = reflect.DeepEqual(document600(t, eval[string](t, p, `JSON.stringify(`+half+`.document())`)), want)
		}
		if !equal {
			t.Errorf("%s does not show what the upstream says", half)
		}
	}
	counts := eval[[2]int](t, p, `[polling.total.count, pushed.total.count]`)
	p.until(t, fmt.Sprintf(`polling.total.count >= %d`, counts[0]+2))
	if n := eval[int](t, p, `pushed.total.count`); n != counts[1] {
		t.Errorf("%d messages came from a city that stands still", n-counts[1])
	}
	eval[any](t, p, `$("#freeze").click()`)
	p.until(t, fmt.Sprintf(`pushed.total.count > %d`, counts[1]))
}

// document600 is the document without what is new in every answer.
func document600(t *testing.T, text string) any {
	t.Helper()
	var document map[string]any
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	delete(document, "last_updated")
	if n := len(document["data"].(map[string]any)["stations"].([]any)); n != 600 {
		t.Fatalf("%d stations", n)
	}
	return document
}

// checkOutage sees that an outage is shown, and its end.
func checkOutage(t *testing.T, p *tab) {
	p.resize(t, 1280, 900, "light")
	eval[any](t, p, `var saw = new Set(), looking = setInterval(() => { // what is there for five seconds may be over before it is asked for
		const stale = $("#pushed .pill").textContent.startsWith("stale since"), failed = $("#polling .pill").textContent.startsWith("503");
		if (stale) saw.add("stale, with " + pushed.document().data.stations.length);
		if (failed) saw.add("503");
		if (stale && failed && $("#polling .map").offsetTop === $("#pushed .map").offsetTop) saw.add("level");
		if ($("#outage").textContent.includes("left")) saw.add("left");
	}, 20), clicked = $("#outage").click()`)
	p.until(t, `saw.has("stale, with 600") && saw.has("503") && saw.has("left") && saw.has("level")`)
	if n := eval[int](t, p, `clearInterval(looking), saw.size`); n != 4 {
		t.Errorf("during the outage there was %s", eval[string](t, p, `[...saw].join("; ")`))
	}
	started := time.Now()
	p.until(t, `$("#pushed .pill").textContent === "live" && $("#polling .pill").textContent === "live"`)
	t.Logf("both recovered %v after the outage was seen, which was to last 5 s", time.Since(started).Round(100*time.Millisecond))
	count := eval[int](t, p, `pushed.total.count`)
	p.until(t, fmt.Sprintf(`pushed.total.count > %d`, count))
}

// checkTabs sees by the backend's own count that nine more pollers cost it so
// much more and nine more watchers nothing. A machine with its hands full may
// not get all ten answered every second, but one tab is not more than one.
func checkTabs(t *testing.T, p *tab) {
	eval[any](t, p, `setTabs(10)`)
	p.until(t, `+$("#load-polling").textContent > 3`)
	if rate := eval[float64](t, p, `+$("#load-pushed").textContent`); rate > 5 {
		t.Errorf("with 10 watchers the backend is polled %.1f times a second, want at most 4 or so", rate)
	}
	eval[any](t, p, `setTabs(1)`)
	p.until(t, `+$("#load-polling").textContent < 2`)
}

func checkUsers(t *testing.T, p *tab) {
	p.until(t, `me.body.textContent.includes("401")`)
	for button, name := range map[string]string{"mira": "Mira Okafor", "jonas": "Jonas Lindqvist"} {
		eval[any](t, p, fmt.Sprintf(`$("[data-rider=%s]").click()`, button))
		p.until(t, fmt.Sprintf(`me.body.textContent.includes(%q)`, name))
	}
	eval[any](t, p, `$("[data-rider='']").click()`)
	p.until(t, `me.body.textContent.includes("401")`)
}

// checkPatches runs the public JSON Patch tests, where they are present, in the
// browser on the page's own client.
func checkPatches(t *testing.T, p *tab) {
	cases, run := 0, 0
	for _, file := range []string{"tests.json", "spec_tests.json"} {
		text, err := os.ReadFile("../../shared/suites/json-patch-tests/" + file)
		if err != nil {
			t.Skipf("the suite is not here: %v", err)
		}
		failed := eval[[]string](t, p, `(`+judge+`)(`+string(text)+`)`)
		for _, f := range failed {
			t.Errorf("%s: %s", file, f)
		}
		var all []struct {
			Disabled bool            `json:"disabled"`
			Patch    json.RawMessage `json:"patch"`
		}
		if err := json.Unmarshal(text, &all); err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if cases++; !c.Disabled && c.Patch != nil {
				run++
			}
		}
	}
	t.Logf("%d of %d cases run", run, cases)
}

// judge says, in JavaScript, which cases of the suite the page's client fails.
// Documents are looked at again after the patch: none may have been changed.
const judge = `cases => cases.filter(it => !it.disabled && it.patch).map(it => {
	const before = JSON.stringify(it.doc), name = it.comment ?? JSON.stringify(it.patch);
	const sorted = value => JSON.stringify(value, (_, v) => v && typeof v === "object" && !Array.isArray(v)
		? Object.fromEntries(Object.entries(v).sort(([a], [b]) => a < b ? -1 : 1)) : v);
	let after, error;
	try { after = pollbridge.apply(it.doc, it.patch); } catch (e) { error = e; }
	if (JSON.stringify(it.doc) !== before) return name + ": changed the old document";
	if (it.error) return error ? null : name + ": want an error, " + it.error;
	if (error) return name + ": " + error.message;
	return "expected" in it && sorted(after) !== sorted(it.expected) ? name + ": " + sorted(after) : null;
}).filter(Boolean)`

// checkLayout holds that nothing sticks out at any width, and that all text can
// be read in both colour schemes (WCAG 2.2, 1.4.3: a contrast of 4.5).
func checkLayout(t *testing.T, p *tab) {
	for _, width := range []int64{1920, 1280, 1024, 768, 390, 320} {
		p.resize(t, width, 900, "light")
		if got := eval[int64](t, p, `document.documentElement.scrollWidth`); got > width {
			t.Errorf("at %d px the page is %d px wide", width, got)
		}
		if got := eval[int](t, p, `document.querySelectorAll(".detail .code").values().filter(it => it.scrollWidth > it.clientWidth).toArray().length`); got > 0 && width > 320 {
			t.Errorf("at %d px the code of %d halves is cut off", width, got)
		}
	}
	for _, scheme := range []string{"light", "dark"} {
		p.resize(t, 1440, 900, scheme)
		dark := eval[bool](t, p, luminance+`; luminance(getComputedStyle(document.body).backgroundColor) < .2`)
		if dark != (scheme == "dark") {
			t.Errorf("the page does not follow the preference for %s", scheme)
		}
		for _, faint := range eval[[]string](t, p, contrasts) {
			t.Errorf("%s: %s", scheme, faint)
		}
	}
}

// luminance is WCAG's relative luminance of a computed colour, in JavaScript.
const luminance = `var luminance = colour => {
	const [r, g, b] = colour.match(/[\d.]+/g).map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
	return .2126 * r + .7152 * g + .0722 * b;
}`

// contrasts lists the elements whose own text is too faint on their background.
const contrasts = luminance + `; [...document.querySelectorAll("body *")].filter(it =>
	it.checkVisibility() && !it.closest("svg, script, template, [class=new]") && [...it.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
).map(it => {
	let ground = it;
	while (/, 0\)$/.test(getComputedStyle(ground).backgroundColor)) ground = ground.parentElement;
	const colour = getComputedStyle(it).color, back = getComputedStyle(ground).backgroundColor;
	if (!/^rgb\(/.test(colour + back) || /oklab|color/.test(back)) return null; // in the middle of an animation
	const [a, b] = [luminance(colour), luminance(back)].sort((x, y) => y - x), contrast = (a + .05) / (b + .05);
	return contrast < 4.5 ? it.tagName + "." + it.className + " " + JSON.stringify(it.textContent.slice(0, 30)) + ": " + colour + " on " + back + " is " + contrast.toFixed(2) : null;
}).filter(Boolean)`
