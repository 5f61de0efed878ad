package demo

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"time"
)

// sessionCookie is the cookie that tells users apart.
const sessionCookie = "sid"

// account is a rider who can sign in and see how the ride is going.
type account struct {
	login, name string
	session     string // what the cookie holds
	cents       int
	rides       int
	km          float64
	ride        *trip // nil between rides
	nextRide    time.Time
}

func newAccounts(seed uint64, now time.Time) []*account {
	rng := rand.New(rand.NewPCG(seed, 1)) // its own, so that accounts do not change the city
	open := func(login, name string, cents int) *account {
		return &account{
			login: login, name: name, cents: cents, session: fmt.Sprintf("%016x%016x", rng.Uint64(), rng.Uint64()),
			nextRide: now.Add(time.Duration(rng.IntN(5000)) * time.Millisecond), rides: 20 + rng.IntN(200), km: float64(rng.IntN(900)),
		}
	}
	return []*account{open("mira", "Mira Okafor", 1240), open("jonas", "Jonas Lindqvist", 655)}
}

// rides sends the riders who have rested on their way.
func (c *city) rides() {
	for _, a := range c.accounts {
		if a.ride == nil && !a.nextRide.After(c.at) {
			a.ride = c.depart(c.origin(), c.destination(), a)
		}
	}
}

// settle ends a ride: the fare is taken and the account topped up when it runs low.
func (a *account) settle(t *trip, c *city) {
	a.cents -= fare(t.minutes())
	if a.cents < 300 {
		a.cents += 1500
	}
	a.rides++
	a.km = math.Round((a.km+t.km)*100) / 100
	a.ride = nil
	a.nextRide = c.at.Add(c.between(3*time.Second, 8*time.Second))
}

// fare is the price of a ride in cents: unlocking, and every minute.
func fare(minutes int) int { return 50 + 12*minutes }

func (c *city) accountOf(r *http.Request) *account {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	for _, a := range c.accounts {
		if a.session == cookie.Value {
			return a
		}
	}
	return nil
}

// signIn answers POST /api/session?rider=mira with the session cookie. The demo
// asks for no password.
func (l *Legacy) signIn(w http.ResponseWriter, r *http.Request) {
	for _, a := range l.city.accounts { // the accounts and their sessions never change
		if a.login == r.FormValue("rider") {
			http.SetCookie(w, &http.Cookie{Name: sessionCookie, Value: a.session, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	http.Error(w, "no such rider", http.StatusNotFound)
}

func signOut(w http.ResponseWriter, r *http.Request) {
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1})
	w.WriteHeader(http.StatusNoContent)
}
