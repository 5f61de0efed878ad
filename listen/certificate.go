package listen

import (
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"
)

// A Certificate is what a server proves by who it is. It can be replaced while
// it is in use. The zero value has none.
type Certificate struct {
	pair atomic.Pointer[tls.Certificate]
}

// LoadPair reads a certificate and its key from PEM files.
func LoadPair(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("tls: cert %s, key %s: %w", cert, key, err)
	}
	return &pair, nil
}

// Doubt says why clients refuse a certificate at a time, or soon will; "" where they
// have no reason in when it is valid.
func Doubt(pair *tls.Certificate, now time.Time) string {
	c := pair.Leaf
	if c == nil { // GODEBUG=x509keypairleaf=0
		return ""
	}
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
		return "it is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
	case left < 0:
		return "it has ended at " + c.NotAfter.UTC().Format(time.RFC3339)
	case left < c.NotAfter.Sub(c.NotBefore)/10:
		return "it ends at " + c.NotAfter.UTC().Format(time.RFC3339)
	}
	return ""
}

// Set has connections to come be given another one.
func (c *Certificate) Set(pair *tls.Certificate) { c.pair.Store(pair) }

// Ends returns when the certificate in use ends to be valid; the zero time where there is none.
func (c *Certificate) Ends() time.Time {
	pair := c.pair.Load()
	if pair == nil || pair.Leaf == nil {
		return time.Time{}
	}
	return pair.Leaf.NotAfter
}

// Config returns how TLS is spoken: 1.2 at least, with the suites that Go thinks
// well of, and HTTP/2 for those who can. A WebSocket needs HTTP/1.1, and
// browsers ask for that (RFC 8441 is not offered, for they would prefer it).
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.pair.Load(), nil
		},
	}
}
