//go:build !unix

package listen

import "net"

// takesReserve reports false: there is no such limit, or it is not known.
func takesReserve(net.Conn) bool { return false }
