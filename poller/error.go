package poller

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// An Error says why a poll gave no document, in terms that may be shown to a
// client: no address, no credential, no text of the upstream's but the names in
// a header, cut short. The cause is for the log alone.
type Error struct {
	Code    string // one of the codes of protocol.md
	Message string
	Status  int   // the upstream's, where that is the reason
	Cause   error // for the log; may be nil
}

// The codes of protocol.md that a poll can end with.
const (
	CodeUnauthorized    = "unauthorized"
	CodeForbidden       = "forbidden"
	CodeGone            = "gone"
	CodeStatus          = "upstream_status"
	CodeUnreachable     = "upstream_unreachable"
	CodeTimeout         = "upstream_timeout"
	CodeBodyTooLarge    = "body_too_large"
	CodeBodyInvalid     = "body_invalid"
	CodeUnsupportedType = "unsupported_type"
	CodeNotShareable    = "not_shareable"
)

func (e *Error) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Cause)
	}
	return e.Code + ": " + e.Message
}

// maxBrief bounds what is remembered of an error, in bytes.
const maxBrief = 300

// brief is the error on one line, for the operator: with its cause, which holds
// nothing of what the upstream said.
func (e *Error) brief() string {
	text, _, _ := strings.Cut(e.Error(), "\n")
	if len(text) > maxBrief {
		text = strings.ToValidUTF8(text[:maxBrief], "") + "…"
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Same reports whether e and o would tell a client the same.
func (e *Error) Same(o *Error) bool {
	if e == nil || o == nil {
		return e == o
	}
	return e.Code == o.Code && e.Status == o.Status && e.Message == o.Message
}

// Refuses reports whether the upstream has answered, and not with what was asked
// for: asked by the same in the same way it would again. It is false for nil.
func (e *Error) Refuses() bool {
	return e != nil && e.Status >= 300 && e.Status < 500 && e.Status != http.StatusRequestTimeout && e.Status != http.StatusTooManyRequests
}

// statusError says what an answer means that is neither 200 nor 304.
func statusError(status int) *Error {
	switch status {
	case http.StatusUnauthorized:
		return &Error{Code: CodeUnauthorized, Message: "the upstream asks for other credentials", Status: status}
	case http.StatusForbidden:
		return &Error{Code: CodeForbidden, Message: "the upstream refuses these credentials", Status: status}
	case http.StatusGone:
		return &Error{Code: CodeGone, Message: "the upstream says that this is gone for good", Status: status}
	}
	text := http.StatusText(status)
	if text == "" {
		text = "unknown status"
	}
	return &Error{Code: CodeStatus, Message: fmt.Sprintf("the upstream answered %d %s", status, text), Status: status}
}

// exchangeError says what a failed exchange means: none of err's text is shown.
func exchangeError(err error, rule *Rule) *Error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		err = u.Err
	}
	var netErr net.Error
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &netErr) && netErr.Timeout() {
		return &Error{Code: CodeTimeout, Message: fmt.Sprintf("the upstream did not answer within %v", rule.timeout()), Cause: Discreet(err)}
	}
	return &Error{Code: CodeUnreachable, Message: "the upstream cannot be reached", Cause: Discreet(err)}
}

// Discreet returns err with nothing in its text of what it repeats: the URL,
// whose query may hold a secret, and what the upstream answered where that was no
// HTTP. The log is no place for either.
func Discreet(err error) error { return discreet{err} }

type discreet struct{ error }

var repeated = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

func (d discreet) Error() string { return repeated.ReplaceAllLiteralString(d.error.Error(), "…") }

func (d discreet) Unwrap() error { return d.error }

// invalid says that a body is not what it claims to be.
func invalid(what string, cause error) *Error {
	return &Error{Code: CodeBodyInvalid, Message: what, Cause: cause}
}
