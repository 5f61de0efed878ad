package client_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"pollbridge/client"
)

func ExampleApply() {
	doc := []byte(`{"id":9007199254740993,"price":5400.0,"tags":["a","b"]}`)
	patch := []byte(`[
		{"op":"test","path":"/price","value":5.4e3},
		{"op":"move","from":"/tags/1","path":"/tags/0"},
		{"op":"add","path":"/tags/-","value":"caf\u00e9"}
	]`)
	doc, err := client.Apply(doc, patch)
	fmt.Println(string(doc), err)

	_, err = client.Apply(doc, []byte(`[{"op":"remove","path":"/tags/3"}]`))
	fmt.Println(err)
	// Output:
	// {"id":9007199254740993,"price":5400.0,"tags":["b","a","caf\u00e9"]} <nil>
	// operation 0 (remove "/tags/3"): index 3 is too high, want one below 3
}

func ExampleApplyMerge() {
	doc, err := client.ApplyMerge([]byte(`{"a":1.0,"b":{"c":2,"d":3}}`), []byte(`{"b":{"c":null,"e":4.50}}`))
	fmt.Println(string(doc), err)
	// Output: {"a":1.0,"b":{"d":3,"e":4.50}} <nil>
}

// A loop over a watch runs until something makes it senseless.
func ExampleWatch() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	o := &client.Options{Header: http.Header{"Authorization": {"Bearer ..."}}, Compression: true}
	for u, err := range client.Watch(ctx, "https://example.com/api/stations", o) {
		switch {
		case err != nil:
			log.Fatal(err) // ctx has ended, or trying again can not help
		case u.Stale != nil:
			log.Printf("old since %s: %v", u.Since, u.Stale)
		default:
			log.Printf("version %s as of %s: %s", u.Version, u.At, u.Data)
		}
	}
}

// What was kept of an earlier watch saves sending the whole again.
func ExampleWatch_resume() {
	var kept client.Update // from a file, say: its Data and Version
	for u, err := range client.Watch(context.Background(), "https://example.com/api/stations", &client.Options{Resume: kept}) {
		if err != nil {
			log.Fatal(err)
		}
		kept = u
	}
}

// Many URLs on one connection.
func ExampleConn() {
	ctx := context.Background()
	conn, err := client.Dial(ctx, "wss://example.com/", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer conn.Close()
	for _, url := range []string{"/api/stations", "/api/alerts?region=north"} {
		if err := conn.Subscribe(ctx, url, client.SubscribeOptions{}); err != nil {
			log.Fatal(err)
		}
	}
	for {
		m, err := conn.Next(ctx)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Type, m.URL, m.Version)
	}
}
