package passthrough

import (
	"net"
	"net/http"
	"sync"
	"time"

	"pollbridge/internal/reuse"
)

// NewTransport returns the transport that New uses where none is given. Its limits are those of connecting: how long
// what comes then may take is in the Options.
func NewTransport() *reuse.Transport { return reuse.New(newTransport()) }

func newTransport() *http.Transport {
	http1 := new(http.Protocols)
	http1.SetHTTP1(true)
	return &http.Transport{
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second, // as curl: an upstream that never says 100 gets the body then
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   1024, // all go to one host; the default of 2 has a busy proxy connect anew all the time
		DisableCompression:    true, // or net/http asks for gzip where the client did not, and decodes it
		Protocols:             http1,
	}
}

// bufferPool lends the buffers through which bodies are copied. Its zero value is ready.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

func (b *bufferPool) Put(buf []byte) { b.pool.Put((*[bufferSize]byte)(buf)) }
