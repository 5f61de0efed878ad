package client

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	jsonpatch "github.com/evanphx/json-patch/v5"
)

// stations is a document of about 230 bytes per station, and a patch that
// changes some of them, adds one and removes one.
func stations(n, changes int) (doc, patch []byte) {
	var rows, ops []string
	for i := range n {
		rows = append(rows, fmt.Sprintf(`{"station_id":"%08x","name":"Station %d, S\u00f8r","lat":59.%05d,"lon":10.%05d,"num_bikes_available":%d,"num_docks_available":%d,"is_renting":true,"is_returning":true,"vehicle_types":[{"id":"bike","count":%d}],"last_reported":17776%05d}`,
			i*2654435761%(1<<32), i, i, i, i%20, 20-i%20, i%20, i))
	}
	for i := range changes {
		ops = append(ops, fmt.Sprintf(`{"op":"replace","path":"/data/stations/%d/num_bikes_available","value":%d}`, i*n/changes, i))
	}
	ops = append(ops, `{"op":"remove","path":"/data/stations/3"}`, `{"op":"add","path":"/data/stations/7","value":{"station_id":"new"}}`)
	return []byte(`{"last_updated":1777629600,"data":{"stations":[` + strings.Join(rows, ",") + `]}}`), []byte("[" + strings.Join(ops, ",") + "]")
}

// BenchmarkApply runs beside the applier that most Go programs use, and beside
// looking at each byte once as json.Valid does, on a small, a middling and a large document, with few changes and with many.
func BenchmarkApply(b *testing.B) {
	for _, size := range []struct{ stations, changes int }{{20, 2}, {500, 5}, {500, 500}, {10_000, 10}, {10_000, 5000}} {
		doc, patch := stations(size.stations, size.changes)
		name := fmt.Sprintf("%dKB/%dops", len(doc)/1000, size.changes+2)
		b.Run(name+"/here", func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Apply(doc, patch); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/only json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			for b.Loop() {
				if !json.Valid(doc) || !json.Valid(patch) {
					b.Fatal("invalid")
				}
			}
		})
		b.Run(name+"/evanphx", func(b *testing.B) {
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				p, err := jsonpatch.DecodePatch(patch)
				if err == nil {
					_, err = p.Apply(doc)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
