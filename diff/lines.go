package diff

const hexDigits = "0123456789abcdef"

// Lines returns text, which must be valid UTF-8, as the JSON array of its
// lines. A line ends after each \n; joined, the lines are the text again, byte
// for byte. A text document is thus compared and patched as any other array.
func Lines(text []byte) []byte {
	out := make([]byte, 0, len(text)+len(text)/8+16)
	out = append(out, '[')
	for i, c := range text {
		if i == 0 {
			out = append(out, '"')
		} else if text[i-1] == '\n' {
			out = append(out, `","`...)
		}
		switch {
		case c == '"' || c == '\\':
			out = append(out, '\\', c)
		case c == '\n':
			out = append(out, `\n`...)
		case c == '\t':
			out = append(out, `\t`...)
		case c == '\r':
			out = append(out, `\r`...)
		case c < 0x20:
			out = append(out, `\u00`...)
			out = append(out, hexDigits[c>>4], hexDigits[c&15])
		default:
			out = append(out, c)
		}
	}
	if len(text) > 0 {
		out = append(out, '"')
	}
	return append(out, ']')
}
