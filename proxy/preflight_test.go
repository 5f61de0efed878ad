package proxy

import "testing"

func TestPreflight(t *testing.T) {
	within(t, served, func(w *world) {
		const ask, method, headers = "Origin: https://app.test", "Access-Control-Request-Method: ", "Access-Control-Request-Headers: "
		for name, test := range map[string]struct {
			target  string
			headers []string
			allowed string // headers; none: the upstream is asked
		}{
			"long-poll":          {"/api/x", []string{ask, method + "GET", headers + "if-none-match,prefer"}, "if-none-match, prefer"},
			"vary's":             {"/api/x", []string{ask, method + "HEAD", headers + "authorization"}, "authorization"},
			"unknown header":     {"/api/x", []string{ask, method + "GET", headers + "prefer,x-other"}, ""},
			"write":              {"/api/x", []string{ask, method + "POST", headers + "prefer"}, ""},
			"origin not listed":  {"/api/x", []string{"Origin: https://elsewhere.test", method + "GET", headers + "prefer"}, ""},
			"origin of the host": {"/api/x", []string{"Origin: http://proxy.test", method + "GET", headers + "prefer"}, ""},
			"no preflight":       {"/api/x", []string{ask}, ""},
			"no rule":            {"/other", []string{ask, method + "GET", headers + "prefer"}, ""},
		} {
			polls := w.polls()
			res, _ := w.do("OPTIONS", test.target, test.headers...)
			h := res.Header
			if ours := w.polls() == polls; ours != (test.allowed != "") || h.Get("Access-Control-Allow-Headers") != test.allowed {
				t.Errorf("%s: answered here: %v, with %v, want %q allowed", name, ours, h, test.allowed)
			}
			if test.allowed != "" && (res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != "https://app.test" ||
				h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Access-Control-Allow-Methods") != "GET, HEAD" || len(h["Vary"]) != 2) {
				t.Errorf("%s: %d %v", name, res.StatusCode, h)
			}
		}
	})
}
