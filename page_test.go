package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// A page is one tab of a headless Chromium that ends with the test.
type page struct {
	t   *testing.T
	ctx context.Context
}

// openPage starts a browser with flags beyond the usual. Without one on the machine the test is skipped,
// unless the environment says POLLBRIDGE_BROWSER=required.
func openPage(t *testing.T, flags ...chromedp.ExecAllocatorOption) *page {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, // the tests' containers run as root; the pages are our own
		chromedp.DisableGPU,
	)
	options = append(options, flags...)
	ctx, stop := context.WithTimeout(t.Context(), 3*patience) // for all that the test does with it
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
	return &page{t, ctx}
}

// open goes to a URL.
func (p *page) open(url string) {
	p.t.Helper()
	if err := chromedp.Do(p.ctx, chromedp.Navigate(url)); err != nil {
		p.t.Fatalf("opening %s: %v", url, err)
	}
}

// until waits until a JavaScript expression is true.
func (p *page) until(expression string) {
	p.t.Helper()
	_, err := chromedp.Run(p.ctx, chromedp.Poll[bool](expression,
		chromedp.WithPollingInterval(20*time.Millisecond), chromedp.WithPollingTimeout(patience)))
	if err != nil {
		p.t.Fatalf("waiting for %s: %v", expression, err)
	}
}

// value is a JavaScript expression's, a string.
func (p *page) value(expression string) string {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}
