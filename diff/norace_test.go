//go:build !race

package diff

const slow = 1
