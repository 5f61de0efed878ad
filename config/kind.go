package config

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// duration is of Go's durations those that are at least min. Whoever writes 30 is not guessed to mean
// seconds: other programs mean milliseconds.
func duration(min time.Duration) kind[time.Duration] {
	what, like := "a duration such as 500ms, 2s, 1m", durationOrZero
	if min > 0 {
		like = textLike(durationText)
		what = fmt.Sprintf("a duration of at least %s, such as 500ms, 2s, 1m", min)
	}
	return kind[time.Duration]{what, like, func(text string) (time.Duration, error) {
		if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
			return 0, errors.New("without a unit")
		}
		v, err := time.ParseDuration(text)
		switch {
		case err == nil && v < 0:
			return 0, errors.New("negative")
		case err != nil || v < min:
			return 0, errKind
		}
		return v, nil
	}}
}

// oneOf is a choice of texts, in the file's own spelling.
func oneOf(texts ...string) kind[string] {
	return kind[string]{strings.Join(texts, ", "), choice(texts...), func(text string) (string, error) {
		if !slices.Contains(texts, text) {
			return "", errKind
		}
		return text, nil
	}}
}

// boolean has one spelling for each of the two, where YAML 1.1 had yes, on and y.
var boolean = kind[bool]{"true, false", choice("true", "false"), func(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, errKind
	}
	return text == "true", nil
}}

var level = kind[slog.Level]{"debug, info, warn, error", choice("debug", "info", "warn", "error"), func(text string) (slog.Level, error) {
	levels := map[string]slog.Level{
		"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError,
	}
	v, known := levels[text]
	if !known {
		return 0, errKind
	}
	return v, nil
}}

// count leaves room for sums of counts.
var count = kind[int]{"a whole number of at least 1", number("integer", "minimum", 1), func(text string) (int, error) {
	v, err := strconv.ParseInt(text, 10, 32)
	if err != nil || v < 1 {
		return 0, errKind
	}
	return int(v), nil
}}

// few is a count of what happens one after the other: more than ten are hardly ever meant.
var few = kind[int]{"a whole number from 1 to 10", number("integer", "minimum", 1, "maximum", 10), func(text string) (int, error) {
	v, err := count.read(text)
	if err != nil || v > 10 {
		return 0, errKind
	}
	return v, nil
}}

// fileMode is written in octal, as chmod takes it.
var fileMode = kind[fs.FileMode]{"a file's mode in octal, such as 0660, or 0666 for all users of the machine", form{"type": []string{"string", "integer"}}, func(text string) (fs.FileMode, error) {
	v, err := strconv.ParseUint(text, 8, 32)
	if err != nil || v > 0o777 {
		return 0, errKind
	}
	return fs.FileMode(v), nil
}}

// rate takes 0 for no limit, and fractions: one request in ten seconds is 0.1.
var rate = kind[float64]{"a number of at least 0", number("number", "minimum", 0), func(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0) || math.IsInf(v, 0) {
		return 0, errKind
	}
	return v, nil
}}

// fraction excludes 1: a body that lost more than all of itself there is not.
var fraction = kind[float64]{"a number from 0 to less than 1", number("number", "minimum", 0, "exclusiveMaximum", 1), func(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v < 1) {
		return 0, errKind
	}
	return v, nil
}}

// share is a part of all, none and all of it included.
var share = kind[float64]{"a number from 0 to 1", number("number", "minimum", 0, "maximum", 1), func(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, errKind
	}
	return v, nil
}}

var (
	sizeText  = regexp.MustCompile(`^([0-9]{1,12})(|KiB|MiB|GiB)$`)
	sizeUnits = map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
)

// size is limited because what has a size is held in memory. KB and MB are refused: to some they are powers of ten.
var size = kind[int64]{"a number of bytes or of KiB, MiB, GiB, such as 64KiB, 8MiB, from 1 to 1GiB", sizeOrNumber, func(text string) (int64, error) {
	m := sizeText.FindStringSubmatch(text)
	if m == nil {
		return 0, errKind
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	unit := sizeUnits[m[2]]
	if err != nil || n < 1 || n > (1<<30)/unit {
		return 0, errKind
	}
	return n * unit, nil
}}

var pemFile = kind[string]{"the name of a PEM file", anyText, func(text string) (string, error) {
	if text == "" {
		return "", errKind
	}
	return text, nil
}}
