package demo

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A document is what an endpoint says of the city at this instant, with its
// status: a value to be marshalled, or a string to be sent as it is.
type document func(c *city, r *http.Request) (body any, status int)

// object is a JSON object in a hurry; encoding/json sorts its members.
type object = map[string]any

func problem(status int, format string, args ...any) (any, int) {
	return object{"error": fmt.Sprintf(format, args...), "status": status}, status
}

// stationJSON has the members of a GBFS station_information and station_status
// record in one, as the APIs of some networks do. Times are Unix milliseconds.
type stationJSON struct {
	ID            string         `json:"station_id"`
	Name          string         `json:"name"`
	ShortName     string         `json:"short_name"`
	Region        string         `json:"region_id"`
	Lat           float64        `json:"lat"`
	Lon           float64        `json:"lon"`
	Capacity      int            `json:"capacity"`
	Bikes         int            `json:"num_bikes_available"`
	EBikes        int            `json:"num_ebikes_available"`
	BikesDisabled int            `json:"num_bikes_disabled"`
	Docks         int            `json:"num_docks_available"`
	DocksDisabled int            `json:"num_docks_disabled"`
	Installed     bool           `json:"is_installed"`
	Renting       bool           `json:"is_renting"`
	Returning     bool           `json:"is_returning"`
	LastReported  int64          `json:"last_reported"`
	VehicleTypes  []vehicleCount `json:"vehicle_types_available"`
}

type vehicleCount struct {
	Type  string `json:"vehicle_type_id"`
	Count int    `json:"count"`
}

func (s *station) json() stationJSON {
	position := s.at.project()
	electric := s.electric()
	return stationJSON{
		ID: s.id, Name: s.name, ShortName: s.id[3:], Region: regions[s.region].id,
		Lon: position[0], Lat: position[1], Capacity: s.capacity,
		Bikes: len(s.bikes), EBikes: electric, BikesDisabled: len(s.broken),
		Docks: s.freeDocks(), DocksDisabled: s.brokenDocks,
		Installed: true, Renting: !s.closed, Returning: !s.closed, LastReported: s.reported.UnixMilli(),
		VehicleTypes: []vehicleCount{{"classic", len(s.bikes) - electric}, {"ebike", electric}},
	}
}

func (s *station) electric() int {
	n := 0
	for _, b := range s.bikes {
		if b.electric() {
			n++
		}
	}
	return n
}

// feed is GBFS's envelope. last_updated is the instant of the answer, so no two
// answers have the same bytes.
func (c *city) feed(stations []*station) any {
	out := make([]stationJSON, len(stations))
	for i, s := range stations {
		out[i] = s.json()
	}
	return struct {
		LastUpdated int64  `json:"last_updated"`
		TTL         int    `json:"ttl"`
		Version     string `json:"version"`
		Data        object `json:"data"`
	}{time.Now().UnixMilli(), 1, "2.3", object{"stations": out}}
}

// stationsDocument is the big one: every station, everything about it.
func (c *city) stationsDocument(*http.Request) (any, int) {
	return c.feed(c.stations), http.StatusOK
}

func (c *city) regionDocument(r *http.Request) (any, int) {
	i := regionIndex(r)
	if i < 0 {
		return problem(http.StatusNotFound, "no region %q", r.PathValue("region"))
	}
	return c.feed(c.within[i]), http.StatusOK
}

func regionIndex(r *http.Request) int {
	return slices.IndexFunc(regions, func(q region) bool { return q.id == r.PathValue("region") })
}

// regionETag is weak: the bodies of one version differ in last_updated.
func regionETag(c *city, r *http.Request, _ []byte) string {
	i := regionIndex(r)
	return fmt.Sprintf(`W/"%s-%d-%d"`, regions[i].id, c.started.Unix(), c.tallies[i].version)
}

// tripsDocument is a window over a stream, newest first: an array at the root
// in which every index shifts when a ride ends.
func (c *city) tripsDocument(*http.Request) (any, int) {
	place := func(s *station) object { return object{"station_id": s.id, "name": s.name} }
	out := make([]object, len(c.recent))
	for i, t := range c.recent {
		out[i] = object{
			"trip_id": fmt.Sprintf("t%07d", t.id), "bike_id": int(t.bike), "electric": t.bike.electric(),
			"from": place(t.from), "to": place(t.to), "minutes": t.minutes(), "km": t.km,
			"started": t.started.UnixMilli(), "ended": t.due.UnixMilli(),
		}
	}
	return out, http.StatusOK
}

// alertsDocument is a GeoJSON FeatureCollection (RFC 7946) whose features carry
// their identity two levels down.
func (c *city) alertsDocument(*http.Request) (any, int) {
	features := make([]object, len(c.alerts))
	for i, a := range c.alerts {
		features[i] = feature("Point", a.station.at.project(), object{
			"alert":   object{"id": a.id, "type": a.kind, "severity": a.severity},
			"title":   a.title,
			"station": object{"station_id": a.station.id, "name": a.station.name},
			"active":  object{"from": a.started.UnixMilli(), "until": a.ends.UnixMilli()},
		})
	}
	return object{"type": "FeatureCollection", "features": features}, http.StatusOK
}

func feature(geometry string, coordinates any, properties object) object {
	return object{"type": "Feature", "geometry": object{"type": geometry, "coordinates": coordinates}, "properties": properties}
}

// systemDocument is small, all counters, and hardly ever the same twice.
func (c *city) systemDocument(*http.Request) (any, int) {
	var bikes, electric, broken, docks, closed int
	byRegion := object{}
	for i, r := range regions {
		var in struct{ bikes, docks, empty int }
		for _, s := range c.within[i] {
			in.bikes += len(s.bikes)
			in.docks += s.freeDocks()
			electric += s.electric()
			broken += len(s.broken)
			if len(s.bikes) == 0 {
				in.empty++
			}
			if s.closed {
				closed++
			}
		}
		bikes, docks = bikes+in.bikes, docks+in.docks
		byRegion[r.id] = object{
			"name": r.name, "bikes": in.bikes, "docks": in.docks, "empty_stations": in.empty,
			"departures": c.tallies[i].departures, "arrivals": c.tallies[i].arrivals,
		}
	}
	return object{
		"name": "Port Merrow Bikes", "operator": object{"name": "Merrow Mobility", "phone": "+44 5555 0100"},
		"local_time": fmt.Sprintf("%02d:%02d", int(c.hour()), int(c.minutes)%60),
		"bikes":      object{"docked": bikes, "electric": electric, "riding": len(c.riding), "broken": broken},
		"docks":      object{"free": docks},
		"stations":   object{"total": len(c.stations), "closed": closed},
		"trips":      object{"started": c.trips, "under_way": len(c.riding)},
		"regions":    byRegion,
	}, http.StatusOK
}

// report is what somebody's spreadsheet imports.
func (c *city) report(*http.Request) (any, int) {
	var b strings.Builder
	b.WriteString("region,stations,bikes,docks,departures,arrivals,balance\r\n")
	for i, r := range regions {
		bikes, docks := 0, 0
		for _, s := range c.within[i] {
			bikes, docks = bikes+len(s.bikes), docks+s.freeDocks()
		}
		t := c.tallies[i]
		fmt.Fprintf(&b, "%s,%d,%d,%d,%d,%d,%+d\r\n", r.name, len(c.within[i]), bikes, docks, t.departures, t.arrivals, t.arrivals-t.departures)
	}
	return b.String(), http.StatusOK
}

// meDocument depends on who asks: the account that the session cookie names.
func (c *city) meDocument(r *http.Request) (any, int) {
	a := c.accountOf(r)
	if a == nil {
		return problem(http.StatusUnauthorized, "sign in first: POST /api/session?rider=mira")
	}
	var ride any
	if t := a.ride; t != nil {
		minutes := int(c.at.Sub(t.started) / cityMinute)
		ride = object{
			"bike_id": int(t.bike), "electric": t.bike.electric(), "from": t.from.name, "to": t.to.name,
			"minutes": minutes, "fare": float64(fare(minutes)) / 100,
			"progress": math.Round(100*float64(c.at.Sub(t.started))/float64(t.due.Sub(t.started))) / 100,
		}
	}
	return object{
		"login": a.login, "name": a.name, "balance": float64(a.cents) / 100, "ride": ride,
		"totals": object{"rides": a.rides, "km": a.km},
	}, http.StatusOK
}

// mapDocument is the geography that the page draws under the stations. It
// never changes.
func (c *city) mapDocument(*http.Request) (any, int) {
	line := func(points []point) (out [][2]float64) {
		for _, p := range points {
			out = append(out, p.project())
		}
		return out
	}
	sea := append(slices.Clone(coast), point{9, -9}, point{-9, -9}, coast[0])
	features := []object{
		feature("Polygon", [][][2]float64{line(sea)}, object{"kind": "water"}),
		feature("LineString", line(river), object{"kind": "river"}),
	}
	for _, p := range parks {
		features = append(features, feature("Polygon", [][][2]float64{line(append(slices.Clone(p), p[0]))}, object{"kind": "park"}))
	}
	for _, r := range regions {
		features = append(features, feature("Point", r.centre.project(), object{"kind": "region", "region_id": r.id, "name": r.name}))
	}
	sw, ne := bounds[0].project(), bounds[1].project()
	return object{"type": "FeatureCollection", "bbox": []float64{sw[0], sw[1], ne[0], ne[1]}, "features": features}, http.StatusOK
}
