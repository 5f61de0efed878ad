// Package unixhost names servers on Unix sockets as the URLs of requests can: by a host.
package unixhost

import (
	"encoding/hex"
	"strings"
)

// suffix is below a domain in which there is nobody (RFC 6761).
const suffix = ".unix.invalid"

// Of returns the host that means the server on the socket at path.
func Of(path string) string { return hex.EncodeToString([]byte(path)) + suffix }

// Path returns the path of the socket that a host means, if it means one.
func Path(host string) (string, bool) {
	digits, ok := strings.CutSuffix(host, suffix)
	if !ok {
		return "", false
	}
	path, err := hex.DecodeString(digits)
	return string(path), err == nil
}
