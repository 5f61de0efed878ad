package config

import (
	"errors"
	"regexp"
	"strings"
)

// pointerText is the syntax of RFC 6901, section 3; "*" needs none of its own.
var pointerText = regexp.MustCompile(`^(/([^/~]|~[01])*)*$`)

// pointer is a JSON Pointer; "" is the whole document.
var pointer = kind[string]{"a JSON Pointer such as /data/stations, * for any one member or element", textLike(`(/([^/~]|~[01])*)*`), func(text string) (string, error) {
	switch {
	case strings.HasPrefix(text, "#"):
		return "", errors.New("without the #")
	case text != "" && text[0] != '/':
		return "", errors.New("it does not begin with /")
	case !pointerText.MatchString(text):
		return "", errors.New("~ is written ~0, and / in a name ~1")
	}
	return text, nil
}}

// memberPointer is a pointer to less than the whole document.
var memberPointer = kind[string]{"a JSON Pointer such as /last_updated or /data/*/seen, * for any one member or element", textLike(`(/([^/~]|~[01])*)+`), func(text string) (string, error) {
	if text == "" {
		return "", errors.New("it is the whole document")
	}
	return pointer.read(text)
}}

// identity is what identifies an element of an array: a member's name, or a pointer into the element.
var identity = kind[string]{"a member such as station_id, or a pointer into the element such as /properties/url", anyText, func(text string) (string, error) {
	switch {
	case text == "":
		return "", errKind
	case text[0] == '/':
		return pointer.read(text)
	}
	return text, nil
}}
