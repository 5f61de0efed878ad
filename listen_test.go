package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/coder/websocket"
	"github.com/pires/go-proxyproto"
	"golang.org/x/net/http2"

	"pollbridge/client"
)

// writePair writes a certificate for localhost that names itself, and its key,
// and returns who trusts it.
func writePair(t *testing.T, dir, name string) *x509.CertPool {
	return writePairUntil(t, dir, name, time.Now().Add(24*time.Hour))
}

func writePairUntil(t *testing.T, dir, name string, end time.Time) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: end, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: private}} {
		next := filepath.Join(dir, file+".next")
		if err := os.WriteFile(next, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, file)); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool.AddCert(cert)
	return pool
}

// serveTLS runs pollbridge with a certificate of its own.
func serveTLS(t *testing.T, upstream, yaml string) (r *running, trusted *x509.CertPool, dir string) {
	t.Helper()
	dir = t.TempDir()
	trusted = writePair(t, dir, "first")
	r = serveBinary(t, upstream, fmt.Sprintf("tls: {cert: %q, key: %q}\n%s", filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), yaml))
	return r, trusted, dir
}

// TestTLS holds that all ways of reading work over TLS: sockets over HTTP/1.1,
// the rest over HTTP/2, on which no sockets are offered.
func TestTLS(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r, trusted, _ := serveTLS(t, legacy.URL, "drain: 0s\n")
	h2 := &http.Client{Transport: &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: trusted}}}
	ask := func(method, path string, header http.Header, body string) *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, method, "https://"+r.address+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		if body == "" {
			req.Body = http.NoBody
		}
		if header != nil {
			req.Header = header
		}
		res, err := h2.Do(req)
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		t.Cleanup(func() { res.Body.Close() })
		if res.ProtoMajor != 2 {
			t.Errorf("%s %s: over %s", method, path, res.Proto)
		}
		return res
	}
	text := func(res *http.Response) string { b, _ := io.ReadAll(res.Body); return string(b) }

	first := ask("GET", "/api/orders", nil, "")
	if got := text(first); got != orders("open") || first.Header.Get("Cache-Status") == "" {
		t.Errorf("GET: %s %v", got, first.Header)
	}
	if got := text(ask("POST", "/elsewhere?a;b=%zz", nil, "one more")); got != "POST /elsewhere?a;b=%zz one more" {
		t.Errorf("POST: %s", got)
	}
	stream := bufio.NewReader(ask("GET", "/api/orders", http.Header{"Accept": {"text/event-stream"}}, "").Body)
	waitLine(t, stream, `"type":"snapshot"`)
	held := make(chan string, 1)
	go func() {
		held <- text(ask("GET", "/api/orders", http.Header{"Prefer": {"wait=30"}, "If-None-Match": {first.Header.Get("Etag")}}, ""))
	}()

	config := &tls.Config{RootCAs: trusted}
	c, err := client.Dial(ctx, "wss://"+r.address+"/api/orders", &client.Options{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: config}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	next(ctx, t, c)
	legacy.set("/api/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != client.TypePatch {
		t.Errorf("the socket got %+v", m)
	}
	waitLine(t, stream, `"type":"patch"`)
	if got := <-held; got != orders("sent") {
		t.Errorf("the long-poll got %s", got)
	}

	if _, err := tls.Dial("tcp", r.address, &tls.Config{RootCAs: trusted, ServerName: "localhost", MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 is spoken")
	}
	if res, err := http.Get("http://" + r.address + "/"); err == nil && res.StatusCode != 400 {
		t.Errorf("without TLS: %s", res.Status)
	}
	for _, s := range settingsOf(t, r.address, trusted) {
		if s.ID == 8 { // RFC 8441: browsers would open sockets over HTTP/2 then
			t.Errorf("SETTINGS_ENABLE_CONNECT_PROTOCOL is sent: %v", s)
		}
	}
}

// waitLine reads lines until one holds a text.
func waitLine(t *testing.T, lines *bufio.Reader, want string) {
	t.Helper()
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("waiting for %s: %v", want, err)
		}
		if strings.Contains(line, want) {
			return
		}
	}
}

// settingsOf are those that a server begins an HTTP/2 connection with.
func settingsOf(t *testing.T, address string, trusted *x509.CertPool) (all []http2.Setting) {
	t.Helper()
	conn, err := tls.Dial("tcp", address, &tls.Config{RootCAs: trusted, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, conn)
	framer.WriteSettings()
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := frame.(*http2.SettingsFrame); ok && !s.IsAck() {
			s.ForeachSetting(func(s http2.Setting) error { all = append(all, s); return nil })
			return all
		}
	}
}

// TestCertificateReload holds that a certificate that changes is used from then
// on, that one which does not fit is not, and that nobody is cut off.
func TestCertificateReload(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r, trusted, dir := serveTLS(t, legacy.URL, "")
	c, err := client.Dial(ctx, "wss://"+r.address+"/api/orders", &client.Options{HTTPClient: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	next(ctx, t, c)
	issuer := func() string {
		t.Helper()
		conn, err := tls.Dial("tcp", r.address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	ends := func() float64 {
		t.Helper()
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
		if err != nil {
			t.Fatal(err)
		}
		return float64(pair.Leaf.NotAfter.Unix())
	}
	if err := os.WriteFile(filepath.Join(dir, "key.pem"), []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	r.errors.wait(t, `level=ERROR msg="certificate not reloaded: the one before stays in use" errors=.*tls: `)
	if got := issuer(); got != "first" {
		t.Errorf("after a pair that does not fit it is %s", got)
	}
	writePair(t, dir, "second")
	r.errors.wait(t, `msg="certificate reloaded" cert=\S+ ends=\d{4}-`)
	if got, want := r.metric("pollbridge_certificate_expiry_timestamp_seconds"), ends(); got != want {
		t.Errorf("the metrics say that the certificate ends at %f, and it does at %f", got, want)
	}
	if got := issuer(); got != "second" {
		t.Errorf("it is still %s", got)
	}
	legacy.set("/api/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != client.TypePatch {
		t.Errorf("who was there got %+v", m)
	}

	writePairUntil(t, dir, "third", time.Now().Add(-time.Minute))
	r.errors.wait(t, `level=WARN msg="certificate: clients refuse it, or soon will" cert=\S+ reason="it has ended at 20`)
	check := start(t, writeConfig(t, fmt.Sprintf("upstream: %s\ntls: {cert: %q, key: %q}\n", legacy.URL, filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))), "check")
	if code := check.code(); code != 0 {
		t.Errorf("exit code %d: %s", code, check.errors.String())
	}
	check.out.wait(t, ` is valid\nwarning: tls: cert \S+cert\.pem: it has ended at 20\S+Z\n$`)
}

// TestTLSInChromium holds that a page opens a socket over TLS, and an event
// stream over HTTP/2 beside it.
func TestTLSInChromium(t *testing.T) {
	t.Parallel()
	p, legacy := openPage(t, chromedp.Flag("ignore-certificate-errors", true)), newAPI(t)
	legacy.set("/page", "<!doctype html><title>legacy</title>")
	legacy.set("/api/orders", orders("open"))
	r, _, _ := serveTLS(t, legacy.URL, "drain: 0s\n")
	if err := chromedp.Do(p.ctx, chromedp.Navigate("https://"+r.address+"/page")); err != nil {
		t.Fatal(err)
	}
	got, err := chromedp.Run(p.ctx, chromedp.Evaluate[string](`(async () => {
		const seen = []
		const socket = new WebSocket(location.origin.replace('https', 'wss') + '/api/orders')
		seen.push(JSON.parse(await new Promise((resolve, reject) => { socket.onmessage = e => resolve(e.data); socket.onerror = () => reject('no socket') })).type)
		const stream = new EventSource('/api/orders')
		seen.push(await new Promise((resolve, reject) => { stream.addEventListener('snapshot', () => resolve('event')); stream.onerror = () => reject('no stream') }))
		await (await fetch('/api/orders', {cache: 'no-store'})).text()
		seen.push(performance.getEntriesByType('resource').map(e => e.nextHopProtocol).includes('h2') ? 'h2' : 'not h2')
		return seen.join(' ')
	})()`, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	if want := "snapshot event h2"; got != want {
		t.Errorf("the page saw %s, want %s", got, want)
	}
}

// TestProxyProtocol holds for whom a balancer's connections count, and that
// nobody else is asked.
func TestProxyProtocol(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	legacy.set("/who", "[]")
	r := serveBinary(t, legacy.URL, "proxy_protocol: [127.0.0.1]\nlog: {access: true}\n")
	header := func(version byte, source string) []byte {
		h := &proxyproto.Header{
			Version: version, Command: proxyproto.PROXY, TransportProtocol: proxyproto.TCPv4,
			SourceAddr: &net.TCPAddr{IP: net.ParseIP(source), Port: 1111}, DestinationAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2222},
		}
		b, err := h.Format()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	dial := func(first []byte) func(context.Context, string, string) (net.Conn, error) {
		return func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				_, err = conn.Write(first)
			}
			return conn, err
		}
	}
	for version, source := range map[byte]string{1: "203.0.113.7", 2: "203.0.113.8"} {
		h := &http.Client{Transport: &http.Transport{DialContext: dial(header(version, source)), DisableKeepAlives: true}}
		res, err := h.Get("http://" + r.address + "/who")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if !legacy.wasSent("X-Forwarded-For", source) {
			t.Errorf("version %d: the upstream was not told of %s", version, source)
		}
		ws, _, err := websocket.Dial(ctx, "ws://"+r.address+"/api/orders", &websocket.DialOptions{HTTPClient: h})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 { // what is pushed goes by the descriptor beneath
			if _, text, err := ws.Read(ctx); err != nil || !strings.Contains(string(text), `"type":`) {
				t.Fatalf("version %d: message %d: %s %v", version, i, text, err)
			}
			legacy.set("/api/orders", orders(fmt.Sprint("state", version, i)))
		}
		ws.Close(websocket.StatusNormalClosure, "")
		r.errors.wait(t, "path=/api/orders .*client="+source)
	}
	silent, err := net.Dial("tcp", r.address) // as a balancer that looks whether anybody is there
	if err != nil {
		t.Fatal(err)
	}
	silent.Close()
	if res, err := http.Get("http://" + r.address + "/who"); err == nil {
		res.Body.Close()
		if res.StatusCode != 400 {
			t.Errorf("without a header a balancer is answered %s", res.Status)
		}
	}
	r.errors.wait(t, `msg="clients are turned away" reason=proxy_protocol more=0`)
	if n := r.metric(`pollbridge_rejections_total{reason="proxy_protocol"}`); n != 1 {
		t.Errorf("%v connections were turned away for want of a header, want 1: who says nothing is none", n)
	}

	other := serveBinary(t, legacy.URL, "proxy_protocol: [192.0.2.1]\n")
	if res, err := http.Get("http://" + other.address + "/who"); err != nil || res.StatusCode != 200 {
		t.Errorf("who is no balancer is answered %v %v", res, err)
	}
	spoof := &http.Client{Transport: &http.Transport{DialContext: dial(header(1, "203.0.113.9")), DisableKeepAlives: true}}
	if res, err := spoof.Get("http://" + other.address + "/who"); err == nil && res.StatusCode != 400 || legacy.wasSent("X-Forwarded-For", "203.0.113.9") {
		t.Errorf("who is no balancer, and says so, is believed: %v %v", res, err)
	}
}
