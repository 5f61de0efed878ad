package demo

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// tab is a page of a headless Chromium and what it wrote to its console.
type tab struct {
	context.Context

	mu       sync.Mutex // guards messages
	messages []chromedp.ConsoleMessage
}

// openTab starts a headless Chromium that ends with the test, or after limit.
// Without one on the machine the test is skipped, unless the environment says
// POLLBRIDGE_BROWSER=required, as it does where nothing may be skipped.
func openTab(t *testing.T, limit time.Duration) *tab {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // the tests' containers run as root; the pages are our own
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, stop := context.WithTimeout(t.Context(), limit)
	t.Cleanup(stop)
	ctx, stopBrowser := chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(stopBrowser)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	switch err := chromedp.Do(ctx); {
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("POLLBRIDGE_BROWSER") != "required":
		t.Skip("no Chromium or Chrome on this machine; install one to run this test (on Debian: apt-get install chromium)")
	case err != nil:
		t.Fatalf("starting a browser: %v", err)
	}
	p := &tab{Context: ctx}
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.messages = append(p.messages, m)
			p.mu.Unlock()
		}
	}()
	return p
}

// console returns what the page has written to its console so far.
func (p *tab) console() []chromedp.ConsoleMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]chromedp.ConsoleMessage(nil), p.messages...)
}

// do runs one action.
func (p *tab) do(t *testing.T, what string, action chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(p, action); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// resize makes the window so wide and high, in CSS pixels, and prefer a colour
// scheme, "light" or "dark".
func (p *tab) resize(t *testing.T, width, height int64, scheme string) {
	t.Helper()
	p.do(t, "resizing", chromedp.EmulateViewport(width, height))
	p.do(t, "choosing a colour scheme", chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
		_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
		return err
	}))
}

// patience is how long a test waits for what has to happen: no machine is too slow.
const patience = 2 * time.Minute

// until waits until a JavaScript expression is true.
func (p *tab) until(t *testing.T, expression string) {
	t.Helper()
	_, err := chromedp.Run(p, chromedp.Poll[bool](expression,
		chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		t.Fatalf("waiting for %s: %v", expression, err)
	}
}

// eval returns the value of a JavaScript expression.
func eval[T any](t *testing.T, p *tab, expression string) T {
	t.Helper()
	v, err := chromedp.Run(p, chromedp.Evaluate[T](expression))
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return v
}
