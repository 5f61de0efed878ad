package admin

import (
	"crypto/sha256"
	_ "embed" // the page is part of the program
	"encoding/base64"
	"net/http"
	"regexp"
	"strings"
)

//go:embed page.html
var pageHTML []byte

// pagePolicy lets the page run its own script and style, load pollbridge's own
// client, and talk to this listener: nothing else (W3C CSP Level 3). Text that
// were taken for HTML is an error even then (W3C Trusted Types).
var pagePolicy = "default-src 'none'; script-src 'self'" + hashes("script") + "; style-src" + hashes("style") +
	"; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// hashes are the sources of what stands in the page's elements of a name.
func hashes(element string) string {
	var b strings.Builder
	for _, m := range regexp.MustCompile(`(?s)<`+element+`>(.*?)</`+element+`>`).FindAllSubmatch(pageHTML, -1) {
		sum := sha256.Sum256(m[1])
		b.WriteString(" 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'")
	}
	return b.String()
}

// protect sets the headers that keep an answer from being taken for what it is
// not, and from being used by other sites' pages.
func protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}

func servePage(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Security-Policy", pagePolicy)
	w.Write(pageHTML)
}
