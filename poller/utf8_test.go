package poller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestDecodeUTF8 is what the WHATWG Encoding standard makes of bytes, by hand.
func TestDecodeUTF8(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"", ""},
		{"plain", "plain"},
		{"\xef\xbb\xbf{}", "{}"}, // a byte order mark
		{"\xef\xbb\xbf\xef\xbb\xbf{}", "\ufeff{}"},                         // and no other
		{"{}\xef\xbb\xbf", "{}\ufeff"},                                     // at the start only
		{"\xef\xbb", "\ufffd"},                                             // half of one
		{"\x80", "\ufffd"},                                                 // continues nothing
		{"\xc0\xaf", "\ufffd\ufffd"},                                       // overlong
		{"\xe0\x80\xaf", "\ufffd\ufffd\ufffd"},                             //
		{"\xf0\x80\x80\xaf", "\ufffd\ufffd\ufffd\ufffd"},                   //
		{"\xed\xa0\x80", "\ufffd\ufffd\ufffd"},                             // a surrogate
		{"\xf4\x90\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},                   // beyond U+10FFFF
		{"\xf5\x80\x80\x80", "\ufffd\ufffd\ufffd\ufffd"},                   //
		{"\xe2\x82", "\ufffd"},                                             // cut off: one for the part that could begin one
		{"\xf0\x9f\x98", "\ufffd"},                                         //
		{"\xf0\x9f\x98x", "\ufffdx"},                                       //
		{"\xe2\x82\xf0\x9f\x98\x80\xc3", "\ufffd\U0001f600\ufffd"},         //
		{"a\xf1\x80\x80\xe1\x80\xc2b\x80c", "a\ufffd\ufffd\ufffdb\ufffdc"}, // Unicode 15, table 3-8
		{"\x00\xff\x00", "\x00\ufffd\x00"},
		{"\"gr\xfc\xdfe\"", "\"gr\ufffd\ufffde\""}, // Latin-1
	} {
		if got := string(decodeUTF8([]byte(c.in))); got != c.want {
			t.Errorf("%q is %q, want %q", c.in, got, c.want)
		}
	}
}

// boundaries are the bytes at which UTF-8 decoders change their minds, and
// neighbours of these.
const boundaries = "\x00\"A\x7f\x80\x8f\x90\x9f\xa0\xbb\xbf\xc0\xc1\xc2\xdf\xe0\xe1\xec\xed\xee\xef\xf0\xf1\xf3\xf4\xf5\xff"

// sequences are all of one and two bytes, and those of three and four that are
// made of boundaries; of four with a lead byte for so many only.
func sequences() (all [][]byte) {
	for a := range 256 {
		all = append(all, []byte{byte(a)})
		for b := range 256 {
			all = append(all, []byte{byte(a), byte(b)})
		}
	}
	for _, a := range []byte(boundaries) {
		for _, b := range []byte(boundaries) {
			for _, c := range []byte(boundaries) {
				all = append(all, []byte{a, b, c})
				for _, d := range []byte("A\x80\xbf\xc2\xf0") {
					if a >= 0xef {
						all = append(all, []byte{a, b, c, d})
					}
				}
			}
		}
	}
	return all
}

// TestDecodeUTF8AsChromium holds the decoder against a real browser's
// response.text() and, where it is JSON, response.json(). Sequences are decoded
// together: an ASCII character between two ends whatever was begun.
func TestDecodeUTF8AsChromium(t *testing.T) {
	t.Parallel()
	tab := browser(t)
	all := sequences()
	one := bytes.Join(all, []byte("|"))
	got := bytes.Split([]byte(inBrowser(t, tab, "text()", one)[0]), []byte("\n"))
	for n, want := range bytes.Split(decodeUTF8(one), []byte("\n")) {
		if n >= len(got) || string(got[n]) != string(want) {
			t.Fatalf("line %d of all sequences is\n% x here and otherwise in the browser", n, want)
		}
	}
	var bodies [][]byte
	for b := ' '; b < 256; b++ {
		if b != '\\' && b != '"' { // that would be no JSON
			bodies = append(bodies, fmt.Appendf(nil, "[\"%s\"]", []byte{byte(b)}), fmt.Appendf(nil, "\xef\xbb\xbf[\"\xe2\x82%s\"]", []byte{byte(b)}))
		}
	}
	for i, got := range inBrowser(t, tab, "json().then(v => '[\"' + v[0] + '\"]')", bodies...) {
		if want := string(decodeUTF8(bodies[i])); got != want {
			t.Errorf("%q is %q here and %q in the browser", bodies[i], want, got)
		}
	}
	t.Logf("%d sequences of bytes were decoded by the browser, too", len(all)+len(bodies))
}

// inBrowser returns what a method of a Response makes of bodies.
func inBrowser(t *testing.T, tab context.Context, method string, bodies ...[]byte) []string {
	t.Helper()
	encoded, _ := json.Marshal(bodies) // as base64
	got, err := chromedp.Run(tab, chromedp.Evaluate[[]string](fmt.Sprintf(
		"Promise.all(%s.map(b => new Response(Uint8Array.from(atob(b), c => c.charCodeAt(0))).%s))", encoded, method), chromedp.EvalAwaitPromise))
	if err != nil || len(got) != len(bodies) {
		t.Fatalf("%d of %d: %v", len(got), len(bodies), err)
	}
	return got
}

// browser starts a headless Chromium that ends with the test. Where there is
// none the test is skipped, unless POLLBRIDGE_BROWSER=required.
func browser(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(stop)
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-component-update", true)) // the tests' containers run as root; the page is blank
	ctx, stop = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(stop)
	switch err := chromedp.Do(ctx); {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("POLLBRIDGE_BROWSER") != "required":
		t.Skip("no Chromium or Chrome on this machine")
	case err != nil:
		t.Fatal(err)
	}
	return ctx
}
