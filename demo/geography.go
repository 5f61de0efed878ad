package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
)

// Port Merrow lies where the charts show only the North Sea. Its geography is
// laid out on a plane, in kilometres east and north of the market square, and
// given as WGS 84 by project.
const (
	originLat    = 54.5000
	originLon    = 7.2000
	kmPerDegree  = 111.2
	minSpacing   = 0.17 // km between neighbouring stations, where there is room
	fromTheWater = 0.12 // km
)

// point is a place in km east and north of the market square.
type point struct{ x, y float64 }

func (p point) distance(q point) float64 { return math.Hypot(p.x-q.x, p.y-q.y) }

// project gives the WGS 84 longitude and latitude to six decimals (10 cm), in
// GeoJSON's order.
func (p point) project() [2]float64 {
	lon := originLon + p.x/(kmPerDegree*math.Cos(originLat*math.Pi/180))
	lat := originLat + p.y/kmPerDegree
	return [2]float64{round6(lon), round6(lat)}
}

func round6(v float64) float64 { return math.Round(v*1e6) / 1e6 }

// region is a quarter of the city. home and work say how much of the commute
// starts there in the morning and ends there.
type region struct {
	id, name   string
	centre     point
	spread     point // standard deviation of its stations
	turn       float64
	stations   int
	home, work float64
}

var regions = []region{
	{"harbour", "Old Harbour", point{-1.15, -1.75}, point{1.22, 0.38}, 0.15, 80, 0.4, 1.2},
	{"market", "Market", point{-0.64, -0.15}, point{1.02, 0.62}, 0.30, 110, 0.3, 2.2},
	{"university", "University", point{2.11, 1.55}, point{0.87, 0.55}, 0.55, 75, 0.5, 1.4},
	{"northgate", "Northgate", point{-1.66, 2.05}, point{1.22, 0.55}, 0.10, 80, 1.7, 0.3},
	{"mills", "The Mills", point{3.65, -0.75}, point{1.02, 0.60}, 0.40, 70, 0.8, 0.9},
	{"westhill", "Westhill", point{-4.8, 0.75}, point{1.09, 0.70}, -0.25, 75, 1.6, 0.2},
	{"eastfield", "Eastfield", point{5.82, 1.15}, point{0.9, 0.75}, 0.20, 60, 1.5, 0.3},
	{"strand", "Long Strand", point{-4.74, -1.45}, point{1.28, 0.30}, -0.12, 50, 0.6, 0.4},
}

// The coast runs along the south from west to east, the river from the
// north-east into the harbour.
var (
	coast = []point{
		{-11.52, -2.0}, {-7.94, -2.15}, {-6.4, -2.30}, {-4.99, -2.22}, {-3.84, -2.40}, {-2.94, -2.62}, {-2.18, -2.55},
		{-1.54, -2.45}, {-0.7, -2.30}, {0.06, -2.50}, {0.64, -2.78}, {1.54, -2.62}, {2.82, -2.30}, {3.97, -2.12},
		{5.25, -2.28}, {6.66, -2.02}, {7.94, -1.80}, {11.52, -1.7},
	}
	river = []point{
		{11.52, 3.9}, {7.81, 3.25}, {6.27, 3.0}, {4.86, 2.45}, {3.9, 1.75}, {3.52, 0.95}, {2.82, 0.35}, {1.86, 0.12},
		{1.09, -0.35}, {0.79, -1.0}, {0.45, -1.6}, {0, -2.05}, {-0.32, -2.45},
	}
	parks = [][]point{
		{{-3.26, 0.35}, {-2.56, 0.62}, {-2.24, 1.15}, {-2.62, 1.45}, {-3.39, 1.2}, {-3.65, 0.75}},
		{{4.29, 0.35}, {5.06, 0.2}, {5.25, -0.25}, {4.8, -0.4}, {4.35, -0.1}},
		{{0.32, 2.35}, {0.96, 2.25}, {1.22, 2.75}, {0.64, 3.1}, {0.13, 2.85}},
	}
	// bounds are the corners of the map: south-west and north-east.
	bounds = [2]point{{-7.6, -3.1}, {7.6, 3.45}}
	// central is the railway station, where many rides begin at once.
	central = point{-0.45, 0.5}
)

// habitable reports whether a station can stand at p: on land and in no park.
func habitable(p point) bool {
	if p.x < bounds[0].x+0.25 || p.x > bounds[1].x-0.25 || p.y > bounds[1].y-0.25 {
		return false
	}
	if p.y < heightAt(coast, p.x)+fromTheWater || distanceTo(river, p) < fromTheWater+0.08 {
		return false
	}
	for _, park := range parks {
		if inside(park, p) {
			return false
		}
	}
	return true
}

// heightAt is the line's y at x; its points are sorted by x.
func heightAt(line []point, x float64) float64 {
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		if x <= b.x {
			return a.y + (b.y-a.y)*(x-a.x)/(b.x-a.x)
		}
	}
	return line[len(line)-1].y
}

func distanceTo(line []point, p point) float64 {
	nearest := math.Inf(1)
	for i := 1; i < len(line); i++ {
		a, b := line[i-1], line[i]
		dx, dy := b.x-a.x, b.y-a.y
		t := ((p.x-a.x)*dx + (p.y-a.y)*dy) / (dx*dx + dy*dy)
		t = min(max(t, 0), 1)
		nearest = min(nearest, p.distance(point{a.x + t*dx, a.y + t*dy}))
	}
	return nearest
}

// inside is the even-odd rule.
func inside(polygon []point, p point) bool {
	in := false
	for i, a := range polygon {
		b := polygon[(i+1)%len(polygon)]
		if (a.y > p.y) != (b.y > p.y) && p.x < a.x+(b.x-a.x)*(p.y-a.y)/(b.y-a.y) {
			in = !in
		}
	}
	return in
}

// site finds a place for a station: near the middle of its region, on the grid
// of its streets, and not on top of another where that can be had.
func site(rng *rand.Rand, r region, taken []point) point {
	const block = 0.14 // km
	sin, cos := math.Sincos(r.turn)
	for spacing := minSpacing; ; spacing *= 0.97 {
		u, v := rng.NormFloat64()*r.spread.x, rng.NormFloat64()*r.spread.y
		if rng.IntN(2) == 0 {
			u = math.Round(u/block) * block
		} else {
			v = math.Round(v/block) * block
		}
		p := point{r.centre.x + u*cos - v*sin, r.centre.y + u*sin + v*cos}
		if habitable(p) && !crowded(taken, p, spacing) {
			return p
		}
	}
}

func crowded(taken []point, p point, spacing float64) bool {
	for _, q := range taken {
		if p.distance(q) < spacing {
			return true
		}
	}
	return false
}

var (
	streetNames = []string{
		"Quay", "Lantern", "Cooper", "Saltmarket", "Ropewalk", "Heron", "Foundry", "Abbey", "Linden", "Mercer",
		"Gannet", "Orchard", "Tanner", "Chandler", "Bell", "Customs House", "Weaver", "Juniper", "Pilot", "Granary",
		"Alder", "Kiln", "Marsh", "Observatory", "Fisher", "Plover", "Glassworks", "Almond", "Signal", "Priory",
		"Sexton", "Barley", "Tern", "Ferry", "Dyer", "Hazel", "Copper", "Beacon", "Sailmaker", "Cloister",
	}
	streetKinds = []string{"Street", "Row", "Lane", "Road", "Place", "Walk", "Square", "Hill"}
	landmarks   = []string{"Library", "Baths", "School", "Theatre", "Tram Stop", "Clinic", "Market Hall", "Depot", "Museum", "Bridge"}
)

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// stationName is a corner of two streets, or now and then a landmark.
func stationName(rng *rand.Rand) string {
	a := pick(rng, streetNames)
	if rng.IntN(5) == 0 {
		return a + " " + pick(rng, landmarks)
	}
	b := pick(rng, streetNames)
	for b == a {
		b = pick(rng, streetNames)
	}
	return fmt.Sprintf("%s %s & %s %s", a, pick(rng, streetKinds), b, pick(rng, streetKinds))
}
