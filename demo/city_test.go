package demo

import (
	"bytes"
	"testing"
	"time"
)

var dawn = time.Date(2024, 3, 4, 12, 0, 0, 0, time.UTC)

// state is everything the world can see of a city, but for the time of asking.
func state(c *city) []byte {
	var all []any
	for _, s := range c.stations {
		all = append(all, s.json())
	}
	for _, d := range []document{(*city).tripsDocument, (*city).alertsDocument, (*city).systemDocument, (*city).report} {
		body, _ := d(c, nil)
		all = append(all, body)
	}
	return marshal(all)
}

// TestDeterministic holds that a seed makes one history, however often it is
// looked at, and another seed another.
func TestDeterministic(t *testing.T) {
	once, often, other := newCity(7, dawn), newCity(7, dawn), newCity(8, dawn)
	end := dawn.Add(5 * time.Minute)
	once.advance(end)
	other.advance(end)
	for now := dawn; !now.After(end); now = now.Add(730 * time.Millisecond) {
		often.advance(now)
	}
	often.advance(end)
	if !bytes.Equal(state(once), state(often)) {
		t.Error("the same seed and the same time, but looked at more often, make another city")
	}
	if bytes.Equal(state(once), state(other)) {
		t.Error("seeds 7 and 8 make the same city")
	}
}

// TestDay lives through a day of the city, minute by minute, and checks what no
// moment may break: no bike is lost or made, no dock holds two.
func TestDay(t *testing.T) {
	c := newCity(1, dawn)
	bikes := countBikes(t, c)
	busiest, quietest := 0, 1<<30
	for minute := range 24 * 60 {
		before := versions(c)
		c.advance(c.at.Add(time.Second)) // a minute there
		n := versions(c) - before
		busiest, quietest = max(busiest, n), min(quietest, n)
		if minute%20 == 0 {
			if got := countBikes(t, c); got != bikes {
				t.Fatalf("at %.2f h there are %d bikes, %d in the beginning", c.hour(), got, bikes)
			}
		}
		if len(c.recent) > recentTrips || len(c.alerts) > 30 {
			t.Fatalf("at %.2f h there are %d recent trips and %d alerts", c.hour(), len(c.recent), len(c.alerts))
		}
	}
	perSecond := float64(versions(c)) / (24 * 60)
	if perSecond < 2 || perSecond > 6 {
		t.Errorf("%.1f changes a second over the day, want a few", perSecond)
	}
	if busiest < 10 {
		t.Errorf("no second saw more than %d changes, want bursts", busiest)
	}
	if quietest > 1 {
		t.Errorf("every second saw %d changes or more, want quiet ones too", quietest)
	}
	t.Logf("%.1f changes a second, %d in the busiest, %d in the quietest", perSecond, busiest, quietest)
}

func versions(c *city) (n int) {
	for _, t := range c.tallies {
		n += t.version
	}
	return n
}

func countBikes(t *testing.T, c *city) int {
	t.Helper()
	seen := map[bike]bool{}
	add := func(where string, bikes ...bike) {
		for _, b := range bikes {
			if seen[b] {
				t.Fatalf("bike %d is in two places, one of them %s", b, where)
			}
			seen[b] = true
		}
	}
	for _, s := range c.stations {
		add(s.id, s.bikes...)
		add(s.id, s.broken...)
		if s.freeDocks() < 0 {
			t.Fatalf("%s has %d free docks", s.id, s.freeDocks())
		}
	}
	for _, trip := range c.riding {
		add("on the road", trip.bike)
	}
	return len(seen)
}

// TestRushHour holds that the morning's commute is one: Northgate, where people
// live, empties, and the Market, where they work, fills.
func TestRushHour(t *testing.T) {
	c := newCity(3, dawn)
	balance := func(name string) int {
		for i, r := range regions {
			if r.id == name {
				return c.tallies[i].arrivals - c.tallies[i].departures
			}
		}
		t.Fatalf("no region %q", name)
		return 0
	}
	home, work := balance("northgate"), balance("university")
	c.advance(dawn.Add(2 * time.Minute)) // half past nine
	if home, work = balance("northgate")-home, balance("university")-work; home >= 0 || work <= 0 {
		t.Errorf("between half past seven and half past nine Northgate gained %d bikes and the University %d", home, work)
	}
}

// TestSkip holds that a city that was stopped goes on as one that was not, only
// later.
func TestSkip(t *testing.T) {
	stopped, steady := newCity(5, dawn), newCity(5, dawn)
	stopped.advance(dawn.Add(10 * time.Second))
	stopped.skip(dawn.Add(70 * time.Second))
	stopped.advance(dawn.Add(90 * time.Second))
	steady.advance(dawn.Add(30 * time.Second))
	a, _ := stopped.report(nil)
	b, _ := steady.report(nil)
	if a != b {
		t.Errorf("after the same time lived:\n%s\nstopped in between:\n%s", b, a)
	}
}

// TestCatchUp holds that a silence of a year costs no more than one of ten minutes.
func TestCatchUp(t *testing.T) {
	c := newCity(1, dawn)
	minutes := c.minutes
	c.advance(dawn.AddDate(1, 0, 0))
	if lived := c.minutes - minutes; lived > catchUp.Minutes()*60+1 {
		t.Errorf("the city lived through %.0f of its minutes, want at most %.0f", lived, catchUp.Minutes()*60)
	}
	if late := dawn.AddDate(1, 0, 0).Sub(c.at); late < 0 || late >= tick {
		t.Errorf("the city is %v late", late)
	}
}

func TestGeography(t *testing.T) {
	c := newCity(1, dawn)
	if len(c.stations) != 600 {
		t.Errorf("%d stations, want 600", len(c.stations))
	}
	for _, s := range c.stations {
		if !habitable(s.at) {
			t.Errorf("%s stands in the water, in a park or off the map: %+v", s.name, s.at)
		}
	}
}
