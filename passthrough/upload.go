package passthrough

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http/httpguts"
)

// upload is the client's body on its way to the upstream. The transport reads it in a goroutine of its own.
type upload struct {
	io.ReadCloser
	in      *http.Request
	pace    *pace
	trailer http.Header // filled when the body ends, before the transport writes it
	ended   atomic.Bool // the body was read to its end
	mu      sync.Mutex  // held while it is read
	stopped bool        // it is not to be read any more; guarded by mu
	failed  atomic.Pointer[error]
}

// newUpload announces the trailers that the client announces.
func newUpload(body io.ReadCloser, in *http.Request, p *pace) *upload {
	u := &upload{ReadCloser: body, in: in, pace: p, trailer: make(http.Header)}
	u.copyTrailer()
	return u
}

// Read reads no further than to the end. The transport tries to, to see that there is no more, but the server may have closed
// the body since, and the error of reading it then would end the exchange (compare golang/go#74421).
func (u *upload) Read(p []byte) (int, error) {
	if u.ended.Load() {
		return 0, io.EOF
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.stopped {
		return 0, http.ErrBodyReadAfterClose
	}
	u.pace.reading(true)
	n, err := u.ReadCloser.Read(p)
	u.pace.reading(false)
	u.pace.took(n, u.in.ContentLength < 0)
	switch {
	case err == io.EOF:
		u.copyTrailer()
		u.ended.Store(true)
		u.pace.enter(waiting)
	case err != nil:
		u.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// stop returns when nobody reads the body, and has nobody do so from then on.
func (u *upload) stop() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
}

// copyTrailer takes over what may come in a trailer (RFC 9110, section 6.5.1), announced or not. Some upstreams
// merge trailers into the header, so that a client can say no more here than there.
func (u *upload) copyTrailer() {
	for name, values := range u.in.Trailer {
		if httpguts.ValidTrailerHeader(name) && !forwarding(name) {
			u.trailer[name] = values
		}
	}
}

// failure is why the client's body could not be read; nil if it could.
func (u *upload) failure() error {
	if err := u.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func expectsContinue(r *http.Request) bool {
	return httpguts.HeaderValuesContainsToken(r.Header["Expect"], "100-continue")
}
