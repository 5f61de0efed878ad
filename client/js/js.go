// Package js is the browser's side of pollbridge, as the binary serves it: the
// bundles that build.mjs makes of src. They are committed, so that building the
// binary needs no Node.
package js

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/internal/field"
)

//go:embed dist/pollbridge.js dist/pollbridge.iife.js dist/htmx.iife.js dist/fallback.js dist/shared.js dist/shim.js dist/worker.js
var dist embed.FS

// A file is one bundle, ready to be sent.
type file struct {
	body, gzipped []byte
	version       string // of its content
}

// files has the bundles by name. It does not change.
var files = load()

func load() map[string]file {
	entries, err := dist.ReadDir("dist")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	loaded := make(map[string]file, len(entries))
	for _, e := range entries {
		body, err := dist.ReadFile(path.Join("dist", e.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(body)
		loaded[e.Name()] = file{body: body, gzipped: compress(body), version: base64.RawURLEncoding.EncodeToString(sum[:12])}
	}
	return loaded
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	w.Write(body) // to memory: cannot fail
	w.Close()
	return b.Bytes()
}

// Serve answers a request for the bundle of a name, and with 404 where there
// is none.
//
// A page names a bundle without a version, so a browser asks each time whether
// it has changed, and is answered by a 304 where it has not. Where a page names
// the version, as in pollbridge.js?v=…, the answer holds for ever.
func Serve(w http.ResponseWriter, r *http.Request, name string) {
	f, ok := files[name]
	if !ok {
		http.Error(w, fmt.Sprintf("pollbridge has no %.100q here: it has %s", name, strings.Join(slices.Sorted(maps.Keys(files)), ", ")), http.StatusNotFound)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/javascript; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Access-Control-Allow-Origin", "*") // for modules of other sites: there is nothing of anybody's in it
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Vary", "Accept-Encoding")
	h.Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == f.version {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, tag := f.body, f.version
	if field.AcceptsGzip(r.Header["Accept-Encoding"]) {
		body, tag = f.gzipped, f.version+"-gzip"
		h.Set("Content-Encoding", "gzip")
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	h.Set("Etag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
}
