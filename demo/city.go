package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"
)

const (
	// tick is the resolution of the simulation.
	tick = 50 * time.Millisecond
	// catchUp bounds the work of the first request after a silence: a city that
	// nobody looked at for longer has not moved in the time before.
	catchUp = 10 * time.Minute
	// The city's day passes sixty times as fast: its minute is a second here,
	// and a ride of a quarter of an hour ends while one looks.
	cityMinute = time.Second
	// opensAt is the city's time of day when the simulation starts; the world sees
	// it from the rush hour on.
	opensAt = 6 * 60 // minutes
	// warmUp is how long the city has lived before anybody sees it, so that rides
	// are under way and the windows are full.
	warmUp = 90 * time.Second
	// recentTrips is the length of the window of trips.
	recentTrips = 50
)

// bike is a number painted on a frame. Every fourth has a motor.
type bike int

func (b bike) electric() bool { return b%4 == 0 }

type station struct {
	id, name    string
	region      int // index in regions
	at          point
	capacity    int
	bikes       []bike // docked and fit to ride; the last one is taken first
	broken      []bike // docked, not fit to ride
	brokenDocks int
	closed      bool
	reported    time.Time // when any of the above last changed
}

func (s *station) freeDocks() int {
	return s.capacity - len(s.bikes) - len(s.broken) - s.brokenDocks
}

// trip is a ride, under way until due.
type trip struct {
	id       int
	bike     bike
	from, to *station
	rider    *account // nil for the nameless many
	started  time.Time
	due      time.Time
	km       float64
}

func (t *trip) minutes() int { return int(t.due.Sub(t.started) / cityMinute) }

// city is the state of the network at one instant. It is not safe for
// concurrent use: Legacy's mutex guards it.
type city struct {
	rng      *rand.Rand
	started  time.Time
	at       time.Time // how far it has been simulated
	minutes  float64   // the city's own clock, in minutes since its first midnight
	stations []*station
	within   [][]*station // by region
	riding   []*trip
	recent   []*trip // finished ones, newest first
	alerts   []*alert
	accounts []*account
	tallies  []tally // by region

	trips, issued                       int // counters behind the identifiers
	nextDeparture, nextBurst, nextFault time.Time
}

// tally counts what happened in a region; version changes whenever anything did.
type tally struct{ departures, arrivals, version int }

func newCity(seed uint64, now time.Time) *city {
	dawn := now.Add(-warmUp)
	c := &city{
		rng: rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15)), started: now, at: dawn, minutes: opensAt,
		within: make([][]*station, len(regions)), tallies: make([]tally, len(regions)),
		nextDeparture: dawn, nextBurst: dawn.Add(2 * time.Second), nextFault: dawn.Add(time.Second),
	}
	c.build()
	c.accounts = newAccounts(seed, dawn)
	c.advance(now)
	return c
}

// build places the stations and docks the bikes, about one for every two docks.
func (c *city) build() {
	var taken []point
	next := bike(1000)
	for i, r := range regions {
		for range r.stations {
			p := site(c.rng, r, taken)
			taken = append(taken, p)
			s := &station{
				id: fmt.Sprintf("mb-%04d", len(taken)), name: stationName(c.rng), region: i, at: p,
				capacity: 12 + 2*c.rng.IntN(10), reported: c.at.Add(-time.Duration(c.rng.IntN(900_000)) * time.Millisecond).Truncate(time.Millisecond),
			}
			for range int(float64(s.capacity) * min(max(0.5+0.28*c.rng.NormFloat64(), 0), 1)) {
				s.bikes = append(s.bikes, next)
				next++
			}
			c.stations = append(c.stations, s)
			c.within[i] = append(c.within[i], s)
		}
	}
}

// advance brings the city to the instant now, or to the last whole tick before.
func (c *city) advance(now time.Time) {
	if gap := now.Sub(c.at); gap > catchUp {
		c.skip(c.at.Add(gap - catchUp))
	}
	for !c.at.Add(tick).After(now) {
		c.step()
	}
}

// skip lets the time until now pass without anything happening: everything that
// was due comes as much later.
func (c *city) skip(now time.Time) {
	d := now.Sub(c.at)
	if d <= 0 {
		return
	}
	c.at = now
	for _, due := range []*time.Time{&c.nextDeparture, &c.nextBurst, &c.nextFault} {
		*due = due.Add(d)
	}
	for _, t := range c.riding {
		t.started, t.due = t.started.Add(d), t.due.Add(d)
	}
	for _, a := range c.alerts {
		a.ends = a.ends.Add(d)
	}
	for _, a := range c.accounts {
		a.nextRide = a.nextRide.Add(d)
	}
}

// step is one tick of the city's life.
func (c *city) step() {
	c.at = c.at.Add(tick)
	c.minutes += float64(tick) / float64(cityMinute)
	c.arrivals()
	for !c.nextDeparture.After(c.at) {
		c.depart(c.origin(), c.destination(), nil)
		wait := c.rng.ExpFloat64() / departuresPerSecond(c.hour())
		c.nextDeparture = c.nextDeparture.Add(time.Duration(wait * float64(time.Second)))
	}
	if !c.nextBurst.After(c.at) {
		c.burst()
		c.nextBurst = c.at.Add(c.between(4*time.Second, 9*time.Second))
	}
	if !c.nextFault.After(c.at) {
		c.fault()
		c.nextFault = c.at.Add(c.between(5*time.Second, 12*time.Second))
	}
	c.repairs()
	c.rides()
}

// changed notes that the world can see a difference at s.
func (c *city) changed(s *station) {
	s.reported = c.at
	c.tallies[s.region].version++
}

// hour is the city's time of day, 0 to 24.
func (c *city) hour() float64 { return math.Mod(c.minutes/60, 24) }

func (c *city) between(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}
