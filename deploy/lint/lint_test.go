// Package lint reads what is in deploy as those will who use it: with the
// parsers of kustomize, Kubernetes, compose and BuildKit. It is a module of its
// own, so that none of these is the product's.
package lint

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

// TestKubernetes builds what `kubectl apply -k` would send, and reads each
// object strictly, as the API server does that validates fields.
func TestKubernetes(t *testing.T) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../kubernetes")
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]any{
		"Deployment": new(appsv1.Deployment), "Service": new(corev1.Service), "ConfigMap": new(corev1.ConfigMap),
		"PodDisruptionBudget": new(policyv1.PodDisruptionBudget), "NetworkPolicy": new(networkingv1.NetworkPolicy),
	}
	var seen []string
	for _, r := range built.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		into, known := kinds[r.GetKind()]
		if !known {
			t.Errorf("%s is not looked at", r.GetKind())
			continue
		}
		seen = append(seen, r.GetKind())
		if err := yaml.UnmarshalStrict(text, into); err != nil {
			t.Errorf("%s %s: %v", r.GetKind(), r.GetName(), err)
		}
	}
	slices.Sort(seen)
	if want := []string{"ConfigMap", "Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service", "Service"}; !slices.Equal(seen, want) {
		t.Errorf("got %v, want %v", seen, want)
	}
	pod := kinds["Deployment"].(*appsv1.Deployment).Spec
	labels := pod.Template.Labels
	config := kinds["ConfigMap"].(*corev1.ConfigMap)
	for what, selector := range map[string]map[string]string{
		"the Deployment":          pod.Selector.MatchLabels,
		"the Service":             kinds["Service"].(*corev1.Service).Spec.Selector,
		"the PodDisruptionBudget": kinds["PodDisruptionBudget"].(*policyv1.PodDisruptionBudget).Spec.Selector.MatchLabels,
		"the NetworkPolicy":       kinds["NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec.PodSelector.MatchLabels,
		"the topology spread":     pod.Template.Spec.TopologySpreadConstraints[0].LabelSelector.MatchLabels,
	} {
		if len(selector) == 0 {
			t.Errorf("%s selects everything", what)
		}
		for name, value := range selector {
			if labels[name] != value {
				t.Errorf("%s does not select the pods: %s", what, name)
			}
		}
	}
	if volume := pod.Template.Spec.Volumes[0].ConfigMap.Name; volume != config.Name || !strings.HasPrefix(volume, "pollbridge-") {
		t.Errorf("the pods mount %s, and the ConfigMap is %s", volume, config.Name)
	}
	names := map[string]bool{}
	for _, p := range pod.Template.Spec.Containers[0].Ports {
		names[p.Name] = true
	}
	for _, p := range kinds["Service"].(*corev1.Service).Spec.Ports {
		if !names[p.TargetPort.StrVal] {
			t.Errorf("the Service leads to port %s, which no container has", p.TargetPort.StrVal)
		}
	}
	for _, rule := range kinds["NetworkPolicy"].(*networkingv1.NetworkPolicy).Spec.Ingress {
		for _, p := range rule.Ports {
			if !names[p.Port.StrVal] {
				t.Errorf("the NetworkPolicy names port %s, which no container has", p.Port.StrVal)
			}
			if p.Port.StrVal == "admin" && len(rule.From) == 0 {
				t.Error("the NetworkPolicy lets everybody reach the admin port")
			}
		}
	}
}

// TestCompose loads the compose file as docker compose does.
func TestCompose(t *testing.T) {
	text, err := os.ReadFile("../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml"), Content: text}},
	}, func(o *loader.Options) { o.SetProjectName("pollbridge", true) })
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range project.Services {
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Error(err)
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(filepath.Join(v.Source, "config.yaml")); err != nil || v.Target != "/etc/pollbridge" {
				t.Errorf("%s at %s is not the directory of the configuration (%v): a file that is mounted alone stays the one that an editor has replaced", v.Source, v.Target, err)
			}
		}
	}
}

// TestDockerfiles parses the Dockerfiles as BuildKit does, with all its checks.
func TestDockerfiles(t *testing.T) {
	for _, file := range []string{"../Dockerfile", "../Dockerfile.release"} {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		parsed, err := parser.Parse(f)
		if err != nil {
			t.Fatal(err)
		}
		warn := func(rule, description, _, message string, at []parser.Range) {
			t.Errorf("%s: %v: %s: %s", file, at, rule, message)
		}
		stages, _, err := instructions.Parse(parsed.AST, linter.New(&linter.Config{Warn: warn}))
		if err != nil {
			t.Fatal(err)
		}
		last := stages[len(stages)-1]
		user := false
		for _, c := range last.Commands {
			switch c := c.(type) {
			case *instructions.UserCommand:
				user = strings.HasPrefix(c.User, "65532")
			case *instructions.RunCommand:
				t.Errorf("%s: scratch has no shell to run %v", file, c.CmdLine)
			case *instructions.HealthCheckCommand:
				if c.Health.Test[0] != "CMD" {
					t.Errorf("%s: the health check needs a shell: %v", file, c.Health.Test)
				}
			case *instructions.EntrypointCommand:
				if c.PrependShell {
					t.Errorf("%s: the entry point needs a shell", file)
				}
			}
		}
		if last.BaseName != "scratch" || !user {
			t.Errorf("%s: from %s, without root: %t", file, last.BaseName, user)
		}
		for _, w := range parsed.Warnings {
			t.Errorf("%s: %v", file, w)
		}
	}
}
