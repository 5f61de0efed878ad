package main

import (
	"bytes"
	"errors"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// apply says whether patch makes new of old.
func apply(old, new, patch []byte) error {
	p, err := jsonpatch.DecodePatch(patch)
	if err != nil {
		return err
	}
	got, err := p.Apply(bytes.TrimSpace(old))
	if err != nil {
		return err
	}
	if patch, err = differ.Diff(got, new); err != nil {
		return err
	}
	if string(patch) != "[]" {
		return errors.New("the patch makes another document")
	}
	return nil
}
