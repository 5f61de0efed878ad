package config

import (
	"errors"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// reserved are the request headers that a rule can neither set nor tell users apart by: those that
// belong to one connection (RFC 9110, section 7.6.1), and those by which the proxy itself
// asks for a whole, unencoded or gzipped, body that has changed. Host may be set, for upstreams that serve several.
var reserved = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection",
	"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Accept-Encoding", "Content-Length", "Expect", "Range",
	"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
}

// token is what a header's or cookie's name is made of (RFC 9110, section 5.6.2).
var token = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

var headerName = kind[string]{"the name of a header", anyText, func(text string) (string, error) {
	if !token.MatchString(text) {
		return "", errKind
	}
	name := http.CanonicalHeaderKey(text)
	if slices.Contains(reserved, name) {
		return "", errors.New("the proxy sets this header itself")
	}
	return name, nil
}}

// headerValue is a field value (RFC 9110, section 5.5). Its reasons tell nothing of it: it is a secret.
var headerValue = kind[string]{"the value of a header", anyText, func(text string) (string, error) {
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	switch {
	case strings.ContainsAny(text, "\r\n"):
		return "", errors.New("it has a line break")
	case strings.ContainsFunc(text, control):
		return "", errors.New("it has a control character")
	case text != strings.TrimSpace(text):
		return "", errors.New("it begins or ends with a space")
	}
	return text, nil
}}

// varyName is a header, or one cookie of the Cookie header, whose name is case-sensitive (RFC 6265, section 4.1.1).
var varyName = kind[string]{"the name of a header, or Cookie:name for one cookie", anyText, func(text string) (string, error) {
	if strings.Contains(text, "*") { // as a name it would be nobody's, and the rule share with everybody
		return "", errors.New("there are no wildcards: name each header that tells users apart, and Cookie for all cookies")
	}
	name, cookie, one := strings.Cut(text, ":")
	name, err := headerName.read(name)
	switch {
	case err != nil:
		return "", err
	case name == "Host":
		return "", errors.New("a client must not choose the host; set one for all in headers")
	case !one:
		return name, nil
	case name != "Cookie" || !token.MatchString(cookie):
		return "", errKind
	}
	return name + ":" + cookie, nil
}}

// parameter is the name of a query parameter as it is once decoded.
var parameter = kind[string]{"the name of a query parameter", anyText, func(text string) (string, error) {
	switch {
	case text == "":
		return "", errKind
	case strings.ContainsAny(text, "&=?"):
		return "", errors.New("the name alone, without ?, = or &")
	case strings.Contains(text, "*"):
		return "", errors.New("there are no wildcards: name each")
	}
	return text, nil
}}
