package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// What a reader may rely on in every file of the product. Tests are free of it:
// a table of cases is as long as it has to be.
const (
	maxFileLines     = 500
	maxFunctionLines = 70
)

// longer are the functions that may exceed maxFunctionLines, each with the
// reason why it is clearer in one piece.
var longer = map[string]string{}

func TestConventions(t *testing.T) {
	excused := map[string]bool{}
	for _, p := range productPackages(t) {
		if name := filepath.Base(p.ImportPath); slices.Contains([]string{"util", "utils", "common", "helpers", "types", "manager", "hub"}, name) {
			t.Errorf("package %s: the name says nothing; call it after what it provides", p.ImportPath)
		}
		commented := false
		for _, file := range p.GoFiles {
			s := parseSource(t, filepath.Join(p.Dir, file))
			commented = commented || s.file.Doc != nil
			s.checkSize(excused)
			s.checkComments()
		}
		if !commented {
			t.Errorf("package %s has no package comment: say what it is for and why it is as it is", p.ImportPath)
		}
	}
	for name := range longer {
		if !excused[name] {
			t.Errorf("%s is not longer than %d lines any more: take it out of the exceptions", name, maxFunctionLines)
		}
	}
}

// A source is one file of the product.
type source struct {
	t    *testing.T
	set  *token.FileSet
	file *ast.File
}

func parseSource(t *testing.T, name string) *source {
	t.Helper()
	s := &source{t: t, set: token.NewFileSet()}
	var err error
	if s.file, err = parser.ParseFile(s.set, name, nil, parser.ParseComments); err != nil {
		t.Fatal(err)
	}
	return s
}

// errorf reports what is wrong at a node, with its file and line.
func (s *source) errorf(n ast.Node, format string, args ...any) {
	s.t.Helper()
	at := s.set.Position(n.Pos())
	if here, err := os.Getwd(); err == nil {
		at.Filename, _ = filepath.Rel(here, at.Filename)
	}
	s.t.Errorf("%s: %s", at, fmt.Sprintf(format, args...))
}

func (s *source) line(p token.Pos) int { return s.set.Position(p).Line }

func (s *source) checkSize(excused map[string]bool) {
	s.t.Helper()
	if lines := s.line(s.file.FileEnd); lines > maxFileLines {
		s.errorf(s.file, "the file has %d lines, more than %d: it holds more than one idea", lines, maxFileLines)
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		lines := s.line(f.End()) - s.line(f.Pos()) + 1
		name := s.file.Name.Name + "." + f.Name.Name
		switch {
		case lines <= maxFunctionLines:
		case longer[name] != "":
			excused[name] = true
		default:
			s.errorf(f, "%s has %d lines, more than %d: name its parts", name, lines, maxFunctionLines)
		}
	}
}

// checkComments demands a comment on every exported name. What is exported on
// an unexported type can be called by nobody outside, what Error and String
// return is said by their interfaces, and fields are the business of their
// struct's comment.
func (s *source) checkComments() {
	s.t.Helper()
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			plain := d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "String" || !ast.IsExported(receiver(d)))
			if d.Name.IsExported() && d.Doc == nil && !plain {
				s.errorf(d, "%s is exported and has no comment", d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				s.checkSpec(d, spec)
			}
		}
	}
}

func (s *source) checkSpec(d *ast.GenDecl, spec ast.Spec) {
	s.t.Helper()
	switch spec := spec.(type) {
	case *ast.TypeSpec:
		if spec.Name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
			s.errorf(spec, "%s is exported and has no comment", spec.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range spec.Names {
			if name.IsExported() && d.Doc == nil && spec.Doc == nil && spec.Comment == nil {
				s.errorf(name, "%s is exported and has no comment", name.Name)
			}
		}
	}
}

// receiver is the name of the type that a method belongs to.
func receiver(f *ast.FuncDecl) string {
	e := f.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}
