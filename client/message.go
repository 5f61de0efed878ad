package client

import (
	"encoding/json"
	"fmt"
	"time"
)

// Subprotocol is the WebSocket subprotocol that a connection offers.
const Subprotocol = "pollbridge.v1"

// The types of messages that a server sends.
const (
	TypeSnapshot = "snapshot" // URL, Version, At, Data: the whole document
	TypePatch    = "patch"    // URL, From, Version, At, Patch: what to do to From
	TypeCurrent  = "current"  // URL, Version, At: what the client holds is confirmed
	TypeStale    = "stale"    // URL, Since, Error: the upstream can not be read at present
	TypeEnd      = "end"      // URL, and Error unless it was asked for: the subscription is over
	TypeAlias    = "alias"    // URL, For: what was asked for as For is sent as URL
	TypeError    = "error"    // Error: a message of the client's was not understood
)

// The formats that a message may name.
const (
	FormatMergePatch = "merge-patch" // a patch is RFC 7396, not RFC 6902
	FormatLines      = "lines"       // a snapshot is a text document, as the array of its lines
)

// A Message is what a server sends. Which fields are set depends on Type.
type Message struct {
	Type    string          `json:"type"`
	URL     string          `json:"url,omitempty"`     // the resource's path and query
	Version string          `json:"version,omitempty"` // opaque
	From    string          `json:"from,omitempty"`    // the version that Patch applies to
	At      time.Time       `json:"at,omitzero"`       // when the upstream was seen to say this
	Since   time.Time       `json:"since,omitzero"`    // of the last good answer
	Data    json.RawMessage `json:"data,omitempty"`
	Patch   json.RawMessage `json:"patch,omitempty"`
	Format  string          `json:"format,omitempty"`
	Error   *Error          `json:"error,omitempty"`
	For     string          `json:"for,omitempty"` // what the client asked for

	// Size is the length of the message in bytes, before compression.
	Size int `json:"-"`
}

// An Error is the reason that a server gives.
type Error struct {
	Code    string `json:"code"` // for programs: not_found, upstream_timeout, ...
	Message string `json:"message"`
	Status  int    `json:"status,omitempty"` // the upstream's, where that is the cause
}

// CodeDisconnected is the code of the one Error that no server sends: that
// a watch has lost its server, and is on its way back to it.
const CodeDisconnected = "disconnected"

func (e *Error) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("%s: %s (status %d)", e.Code, e.Message, e.Status)
	}
	return e.Code + ": " + e.Message
}

// parseMessage reads what came in one frame.
func parseMessage(text []byte) (Message, error) {
	m := Message{Size: len(text)}
	if err := json.Unmarshal(text, &m); err != nil {
		return m, fmt.Errorf("a message of %d bytes from the server: %w", len(text), err)
	}
	return m, nil
}

// A request is what a client sends.
type request struct {
	Type     string            `json:"type"`
	URL      string            `json:"url"`
	Version  string            `json:"version,omitempty"`
	Headers  map[string]string `json:"headers,omitempty"`
	Throttle int64             `json:"throttle,omitempty"` // milliseconds
}
