//! The engine as a script's author meets it: what works, and what errors say.

mod attention;
mod mistakes;

use super::*;
use std::fs;

/// Runs a script that is called `test.rhai`.
fn run(text: &str) -> Result<()> {
    run_with(text, trusted())
}

fn run_with(text: &str, options: HostOptions) -> Result<()> {
    let script = Script { name: "test.rhai".to_owned(), text: text.to_owned() };
    on_script_thread(script, None, &options, |run| run.run().map(|_| ()))
}

fn error(text: &str) -> String {
    run(text).unwrap_err().to_string()
}

/// These scripts are ours.
fn trusted() -> HostOptions {
    HostOptions { grants: Grants { all: true, ..Grants::default() }, ..HostOptions::default() }
}

fn set(pairs: &[(&str, &str)]) -> HostOptions {
    let set = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    HostOptions { set, ..trusted() }
}

/// A directory with these scripts; the first is the main one.
fn directory(files: &[(&str, &str)]) -> (tempfile::TempDir, std::path::PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(directory.path().join(name), text).unwrap();
    }
    let main = directory.path().join(files[0].0);
    (directory, main)
}

/// The error of the first script, without the directory's name.
fn error_of(files: &[(&str, &str)]) -> String {
    let (directory, main) = directory(files);
    let error = run_file(&main, &HostOptions::default()).unwrap_err().to_string();
    error.replace(&format!("{}/", directory.path().display()), "")
}

#[test]
fn mistakes_are_shown_where_they_are() {
    insta::assert_snapshot!(error("let x = 1;\nlet y = x +;\n"), @r"
    test.rhai:2:12: a value is missing before this `;`
      |
    2 | let y = x +;
      |            ^
      help: an expression ends here that has only begun
    ");
    insta::assert_snapshot!(error("let tokens = 1;\nprint(token);\n"), @r"
    test.rhai:2:7: there is no variable `token`
      |
    2 | print(token);
      |       ^^^^^
      help: did you mean `tokens`?
    ");
    insta::assert_snapshot!(error("fn f() {\n    g(1)\n}\nfn g(a, b) { a + b }\nf();\n"), @r"
    test.rhai:2:5: the function `g` takes 2 arguments, and is given 1
      |
    2 |     g(1)
      |     ^
    ");
    insta::assert_snapshot!(error("let t = tokens([1]);\nprint(t.lenght());\n"), @r"
    test.rhai:2:9: Tokens has no method `lenght`
      |
    2 | print(t.lenght());
      |         ^^^^^^
      help: did you mean `len`?
    ");
    insta::assert_snapshot!(error("let t = tokens([1]);\nprint(t.length);\n"), @r"
    test.rhai:2:9: Tokens has no property `length`
      |
    2 | print(t.length);
      |         ^^^^^^
      help: write values.len
    ");
    insta::assert_snapshot!(error("let t = tokens([1, 2]);\nprint(t.slice(0));\n"), @r"
    test.rhai:2:9: the method `slice` takes 2 arguments, and is given 1
      |
    2 | print(t.slice(0));
      |         ^^^^^
      help: it is slice(tokens: Tokens, start: integer, count: integer) -> Tokens
    ");
    insta::assert_snapshot!(error("let t = tokens([1, 2]);\nprint(t.slice(\"a\", 1));\n"), @r#"
    test.rhai:2:9: `slice` does not take (Tokens, text, integer)
      |
    2 | print(t.slice("a", 1));
      |         ^^^^^
      help: it is slice(tokens: Tokens, start: integer, count: integer) -> Tokens
    "#);
    insta::assert_snapshot!(error("let t = tokens([1, -2]);\n"), @r"
    test.rhai:1:9: token 1 is an integer (-2): expected an integer from 0 on
      |
    1 | let t = tokens([1, -2]);
      |         ^^^^^^
    ");
    insta::assert_snapshot!(error("let row = #{ prompt_len: 3 };\nprint(row.promt_len);\n"), @r#"
    test.rhai:2:11: the map has no `promt_len`
      |
    2 | print(row.promt_len);
      |           ^^^^^^^^^
      help: did you mean `prompt_len`? `"promt_len" in map` asks whether it is there, and map.get("promt_len") gives () where it is not
    "#);
    insta::assert_snapshot!(error("perplexity::new(#{});\n"), @r#"
    test.rhai:1:1: nothing was imported as `perplexity`
      |
    1 | perplexity::new(#{});
      | ^^^^^^^^^^
      help: import "perplexity" as perplexity; at the top makes it known
    "#);
    insta::assert_snapshot!(error("fail(\"no model\", \"give one\");"), @r#"
    test.rhai:1:1: no model
      |
    1 | fail("no model", "give one");
      | ^^^^
      help: give one
    "#);
    insta::assert_snapshot!(error("for x in #{ a: 1 } { }"), @r"
    test.rhai:1:10: a map that is written out cannot be gone through
      |
    1 | for x in #{ a: 1 } { }
      |          ^
      help: give it a name first: let models = #{ ... };
    ");
    insta::assert_snapshot!(error("let m = #{ a: 1 };\nfor (n, v) in m { for (a, b) in [1] { tokens([-2]); } }"), @r"
    test.rhai:2:39: token 0 is an integer (-2): expected an integer from 0 on
      |
    2 | for (n, v) in m { for (a, b) in [1] { tokens([-2]); } }
      |                                       ^^^^^^
    ");
    insta::assert_snapshot!(error("throw \"so\";"), @r#"
    test.rhai:1:1: so
      |
    1 | throw "so";
      | ^^^^^
    "#);
    insta::assert_snapshot!(error("let x = eval(\"1\");"), @r#"
    test.rhai:1:9: `eval` is switched off
      |
    1 | let x = eval("1");
      |         ^^^^
      help: what is put together at run time cannot be checked; closures do what it would be used for
    "#);
    insta::assert_snapshot!(error("let a = [1, 2];\na[5];"), @r"
    test.rhai:2:3: there is no element 5: the array has 2
      |
    2 | a[5];
      |   ^
      help: they are 0 to 1, or -1 to -2 from the end
    ");
    insta::assert_snapshot!(error("let x = 1 / 0;"), @r"
    test.rhai:1:11: division by zero: 1 / 0
      |
    1 | let x = 1 / 0;
      |           ^
      help: floats give infinity: write 1.0 / x, or ask whether x == 0
    ");
    insta::assert_snapshot!(error("let x = \"abc;\n"), @r#"
    test.rhai:1:9: this text is not closed
      |
    1 | let x = "abc;
      |         ^
      help: end it with the quote that it begins with; a text over several lines is written in backticks
    "#);
    insta::assert_snapshot!(error("if true { print(1)"), @r"
    test.rhai:1:9: `{` is not closed
      |
    1 | if true { print(1)
      |         ^
      help: its `}` is missing
    ");
    insta::assert_snapshot!(error("[1].bootstrap(#{ resample: 5 });"), @r"
    test.rhai:1:18: unknown bootstrap option `resample`
      |
    1 | [1].bootstrap(#{ resample: 5 });
      |                  ^^^^^^^^
      help: did you mean `resamples`? `caramba docs bootstrap` lists them
    ");
    run("exit();
fail(\"not reached\");")
    .unwrap();
}

#[test]
fn callers_are_shown() {
    let text = "fn outer(x) {\n    inner(x)\n}\nfn inner(x) {\n    [1, 2].map(|y| tokens([x - y]))\n}\nouter(1);\n";
    insta::assert_snapshot!(error(text), @r"
    test.rhai:5:20: token 0 is an integer (-1): expected an integer from 0 on
      |
    5 |     [1, 2].map(|y| tokens([x - y]))
      |                    ^^^^^^
      in a closure, called from test.rhai:5:12
      in `map`, called from test.rhai:5:12
      in `inner`, called from test.rhai:2:5
      in `outer`, called from test.rhai:7:1
    ");
}

#[test]
fn endless_recursion_ends() {
    let text = "fn f(n) { f(n + 1) + 1 }\nf(0);";
    insta::assert_snapshot!(error(text), @r"
    test.rhai:2:1: calls are nested more than 100 deep
      |
    2 | f(0);
      | ^
      help: a function calls itself without end?
    ");
    // As deep as is allowed, through closures and natives, fits the stack.
    run("fn f(n) { if n == 0 { 0 } else { let r = [n].map(|m| f(m - 1)); r[0] } }\nassert(f(30) == 0, \"deep\");").unwrap();
}

#[test]
fn modules_are_found_and_see_their_own() {
    let (_directory, main) = directory(&[
        (
            "main.rhai",
            "import \"lib\" as lib;\nfn f() { lib::twice(4) }\nassert(lib::twice(3) == 6, \"direct\");\nassert(f() == 8, \"from a function\");\nassert(lib::NAME == \"lib\", \"constants\");",
        ),
        (
            "lib.rhai",
            "import \"deeper\" as deeper;\nexport const NAME = \"lib\";\nconst FACTOR = 2;\nfn twice(x) { helper(x) * deeper::one() }\nprivate fn helper(x) { x * global::FACTOR }",
        ),
        ("deeper.rhai", "fn one() { 1 }"),
    ]);
    run_file(&main, &HostOptions::default()).unwrap();
    assert!(check_file(&main).errors.is_empty());
}

#[test]
fn mistakes_with_modules() {
    let missing = error_of(&[("main.rhai", "import \"lbi\" as lib;"), ("lib.rhai", "")]);
    assert!(
        missing.starts_with("main.rhai:1:1: there is no script `lbi` to import") && missing.ends_with("looked for lbi.rhai"),
        "{missing}"
    );
    insta::assert_snapshot!(error_of(&[("main.rhai", "import \"lib\" as lib;\nlib::twise(1);"), ("lib.rhai", "fn twice(x) { x }")]), @r"
    main.rhai:2:6: `lib` has no function `twise`
      |
    2 | lib::twise(1);
      |      ^^^^^
      help: did you mean `twice`? it has: twice
    ");
    insta::assert_snapshot!(error_of(&[("main.rhai", "import \"lib\" as lib;\nlib::twice(1);"), ("lib.rhai", "fn twice(x) {\n  tokens([x - 2])\n}")]), @r"
    lib.rhai:2:3: token 0 is an integer (-1): expected an integer from 0 on
      |
    2 |   tokens([x - 2])
      |   ^^^^^^
      in `twice`, called from main.rhai:2:6
    ");
    insta::assert_snapshot!(error_of(&[("main.rhai", "import \"lib\" as lib;"), ("lib.rhai", "fn f() {\n  nothing_like_it()\n}")]), @r"
    lib.rhai:2:3: there is no function `nothing_like_it`
      |
    2 |   nothing_like_it()
      |   ^^^^^^^^^^^^^^^
      help: `caramba docs` lists what there is
    ");
    insta::assert_snapshot!(error_of(&[("main.rhai", "import \"lib\" as lib;"), ("lib.rhai", "import \"main\" as main;")]), @r#"
    main.rhai:1:8: scripts import each other in a circle: lib.rhai imports main.rhai imports lib.rhai
      |
    1 | import "lib" as lib;
      |        ^^^^^
    "#);
    insta::assert_snapshot!(error_of(&[("main.rhai", "import \"lib\" as lib;"), ("lib.rhai", "let x = ;")]), @r"
    lib.rhai:1:9: a value is missing before this `;`
      |
    1 | let x = ;
      |         ^
      help: an expression ends here that has only begun
    ");
}

#[test]
fn objects_leave_their_module() {
    let (_directory, main) = directory(&[
        (
            "main.rhai",
            "import \"lib\" as lib;\nlet c = lib::counter(10);\nc.add(1);\nassert(c.add(2) == 15, `${c.count}`);\nassert(c.count == 15, \"state\");",
        ),
        (
            "lib.rhai",
            "const STEP = 1;\nfn counter(start) {\n  let more = 0.5;\n  object(#{ count: start, add: |n| { this.count += plus(n); more += 1.0; this.count } })\n}\nprivate fn plus(n) { n * 1 + global::STEP + helper() }\nfn helper() { 0.5.floor().to_int() }",
        ),
    ]);
    let result = run_file(&main, &HostOptions::default());
    result.unwrap();
    let lost = error_of(&[
        ("main.rhai", "import \"lib\" as lib;\nlet c = lib::counter();\nc.add(1);"),
        ("lib.rhai", "fn counter() { #{ count: 0, add: |n| { this.count += n; } } }"),
    ]);
    insta::assert_snapshot!(lost, @r"
    main.rhai:3:3: this closure cannot be called so: it takes another number of arguments, or was made in another module
      |
    3 | c.add(1);
      |   ^^^
      help: give it as many as stand between its bars, |a, b|; object(#{ ... }) makes closures that may leave their module
    ");
}

#[test]
fn a_script_with_parameters_is_a_benchmark() {
    let needle = "const PARAMETERS = #{\n  depths: [0.5],   // where the fact stands\n  context: 1024,\n  name: required(\"\"),   // what to look for\n};\nfn run(model, config) {\n  #{ benchmark_id: \"needle\", metrics: #{ score: config.depths.len() * model }, rows: [] }\n}\n";
    let main = "import \"needle\" as needle;\nlet b = needle::new(#{ depths: [0.1, 1], name: \"x\" });\nassert(b.kind == \"needle\" && b.config.context == 1024, \"config\");\nlet r = b.run(3);\nassert(r.metrics.score == 6 && r.kind == \"needle\" && r.config.depths[1] == 1.0, `${r}`);\nlet again = benchmark(\"needle\", #{ name: \"y\" });\nassert(again.run(2).metrics.score == 2, \"by name\");\nfor b in [needle::new(#{ name: \"z\" })] { let models = #{ a: 1, b: 2 };\nfor (name, model) in models { b.run(model); } }";
    let (_directory, path) = directory(&[("main.rhai", main), ("needle.rhai", needle)]);
    run_file(&path, &HostOptions::default()).unwrap();
    let wrong = |call: &str| error_of(&[("main.rhai", &format!("import \"needle\" as needle;\n{call}")), ("needle.rhai", needle)]);
    insta::assert_snapshot!(wrong("needle::new(#{ contxt: 5 });"), @r"
    main.rhai:2:9: needle: parameter `name` is missing
      |
    2 | needle::new(#{ contxt: 5 });
      |         ^^^
      help: it is text: what to look for
    ");
    insta::assert_snapshot!(wrong("needle::new(#{ context: 5 });"), @r"
    main.rhai:2:9: needle: parameter `name` is missing
      |
    2 | needle::new(#{ context: 5 });
      |         ^^^
      help: it is text: what to look for
    ");
    insta::assert_snapshot!(wrong("needle::new(#{ context: \"long\", name: \"x\" });"), @r#"
    main.rhai:2:16: needle: parameter `context`: expected an integer, and got text ("long")
      |
    2 | needle::new(#{ context: "long", name: "x" });
      |                ^^^^^^^
    "#);
    insta::assert_snapshot!(wrong("needle::new(#{ depths: [0.1, \"x\"], name: \"x\" });"), @r#"
    main.rhai:2:16: needle: parameter `depths`: [1]: expected a number, and got text ("x")
      |
    2 | needle::new(#{ depths: [0.1, "x"], name: "x" });
      |                ^^^^^^
    "#);
    insta::assert_snapshot!(wrong("let b = needle::new(#{ name: \"x\" });\nb.run(\"x\");"), @r#"
    needle.rhai:7:69: `*` does not work on integer and text
      |
    7 |   #{ benchmark_id: "needle", metrics: #{ score: config.depths.len() * model }, rows: [] }
      |                                                                     ^
      in `needle`, called from main.rhai:3:3
    "#);
    insta::assert_snapshot!(error_of(&[("main.rhai", "benchmark(\"lib\", #{});"), ("lib.rhai", "fn f() {}")]), @r#"
    main.rhai:1:1: the script `lib` is no benchmark
      |
    1 | benchmark("lib", #{});
      | ^^^^^^^^^
      help: give it `const PARAMETERS = #{ ... }` and `fn measure(model, cell, config)`, or `fn run(model, config)`
    "#);
    let (_directory, path) = directory(&[("needle.rhai", &format!("// Is a fact found again?\n// At depth.\n{needle}"))]);
    insta::assert_snapshot!(describe(&path).unwrap().to_string().split("\nof every benchmark").next().unwrap(), @r"
    Is a fact found again?
    At depth.

    parameters, given with --set name=value:
      depths   [0.5] (a list of numbers)  where the fact stands
      context  1024 (an integer)
      name     required (text)            what to look for
    ");
}

#[test]
fn arguments_are_typed() {
    run_with("assert(args.n == 3 && args.x == 0.5 && args.list == [1, 2] && args.text == \"a b\" && args.rest == [], \"typed\");\nfn f() { args.n }\nassert(f() == 3, \"everywhere\");", set(&[("n", "3"), ("x", "0.5"), ("list", "[1, 2]"), ("text", "a b")])).unwrap();
    let declared = "const PARAMETERS = #{ n: 1, x: 1.0, names: [\"a\"], lengths: [1], on: false, text: \"t\", free: () };\n";
    let good = "assert(args.n == 2 && args.x == 3.0 && args.names == [\"1\", \"b\"] && args.lengths == [7] && args.on && args.text == \"007\" && args.free == (), `${args}`);";
    run_with(
        &format!("{declared}{good}"),
        set(&[("n", "2"), ("x", "3"), ("names", "[\"1\", b]"), ("lengths", "7"), ("on", "true"), ("text", "007")]),
    )
    .unwrap();
    let wrong = |key: &str, value: &str| run_with(declared, set(&[(key, value)])).unwrap_err().to_string();
    insta::assert_snapshot!(wrong("m", "1"), @r"
    test.rhai: unknown parameter `m`
     |
     | --set m=1
     |       ^
      help: known are: n, x, names, lengths, on, text, free
    ");
    insta::assert_snapshot!(wrong("n", "1.5"), @r"
    test.rhai: parameter `n`: expected an integer, and got a float (1.5)
     |
     | --set n=1.5
     |         ^^^
      help: it is an integer
    ");
    insta::assert_snapshot!(wrong("lengths", "1,x"), @r#"
    test.rhai: parameter `lengths`: [1]: expected an integer, and got text ("x")
     |
     | --set lengths=1,x
     |               ^^^
      help: it is a list of integers
    "#);
    insta::assert_snapshot!(wrong("on", "maybe"), @r#"
    test.rhai: parameter `on`: expected true or false, and got text ("maybe")
     |
     | --set on=maybe
     |          ^^^^^
      help: it is true or false
    "#);
    insta::assert_snapshot!(wrong("lengths", "[1"), @"test.rhai: --set lengths: cannot be read as a YAML value: while parsing a flow sequence, expected ',' or ']'");
}

#[test]
fn packed_lists() {
    run(r#"
        let t = tokens([5, 6, 7, 8]);
        assert(t.len == 4 && t[-1] == 8 && t[1..3] == tokens([6, 7]) && t[1..=1].len() == 1, "slices");
        let sum = 0;
        for token in t { sum += token; }
        assert(sum == 26 && (t + t).len == 8 && t.len == 4, "gone through, joined");
        let u = t; u.push(9); u += tokens([10]);
        assert(t.len == 4 && u.len == 6 && u.max() == 10, "values are values");
        assert(random_tokens(3, 10, 1) != random_tokens(3, 10, 2), "seeds");
        assert(t.hash() == tokens([5, 6, 7, 8]).hash() && t.hash().len == 64, "hash");
        let n = numbers([1, 2.5]) * 2.0 + numbers([1, 1]);
        assert(n == numbers([3.0, 6.0]) && n.mean() == 4.5 && n.sum() == 9.0, "arithmetic");
        assert([1, 2, 3].mean() == 2.0 && summary([2.0]).std == (), "arrays too");
        assert((numbers([1.0, 2.0]).log_sum_exp() - 2.3132616875182226).abs() < 1e-12, "log-sum-exp");
        assert(fixed(1.005, 1) == "1.0" && megabytes(1048576) == 1.0 && digits(1234.5678, 3) == "1235", "text");
    "#)
    .unwrap();
    insta::assert_snapshot!(error("tokens([1])[3];"), @r"
    test.rhai:1:12: there is no element 3: they go from 0 to 0
      |
    1 | tokens([1])[3];
      |            ^
    ");
    insta::assert_snapshot!(error("tokens([1, 7]).check(5);"), @r"
    test.rhai:1:16: token 7 at position 1 is beyond the vocabulary of 5 (ids 0 to 4)
      |
    1 | tokens([1, 7]).check(5);
      |                ^^^^^
      help: use tokens that were made with this model's tokenizer
    ");
    insta::assert_snapshot!(error("[1, \"x\"].mean();"), @r#"
    test.rhai:1:10: value 1 is text ("x"): expected a number
      |
    1 | [1, "x"].mean();
      |          ^^^^
    "#);
    insta::assert_snapshot!(error("numbers([]).mean();"), @r"
    test.rhai:1:13: statistics of no values: expected at least one
      |
    1 | numbers([]).mean();
      |             ^^^^
      help: ask values.is_empty() before, or look why nothing was measured
    ");
}

#[test]
fn loops_with_two_variables() {
    run(r#"
        fn f(map) {
            let seen = [];
            for (name, value) in map {
                if name == "b" { continue; }
                let g = |x| x + value;
                for (item, turn) in [7, 8] { seen.push(g.call(item) * 100 + turn); }
                seen.push(name);
            }
            seen
        }
        assert(f(#{ a: 1, b: 2, c: 3 }) == [800, 901, "a", 1000, 1101, "c"], `${f(#{ a: 1, b: 2, c: 3 })}`);
        let m = #{ x: 5 };
        for entry in m { assert(entry.name == "x" && entry.value == 5, "entry"); }
        [1].for_each(|| for (name, value) in m { assert(name == "x" && value == 5, "in a closure"); });
        for (token, i) in tokens([4, 5]) { assert(token == 4 + i, "numbered"); }
    "#)
    .unwrap();
}

#[test]
fn errors_can_be_caught_and_asked() {
    run(r#"
        try { tokens([-1]); assert(false, "not reached"); }
        catch (error) { assert(error.message.contains("token 0") && error.help == (), `${error}`); }
        try { fail("a", "b"); } catch (error) { assert(error.message == "a" && error.help == "b" && error.at == (), "both"); }
        // The engine's own, as they would be shown.
        fn f(x) { x.push(2) }
        fn g(x) { f(x) }
        try { f(5); } catch (error) { assert(error.message.contains("`push`") && error.at.contains(":6:"), `${error}`); }
        try { g(5); } catch (error) { assert(error.message.contains("`push`") && error.at.contains(":6:"), `${error}`); }
        try { [1, 2][7] } catch (error) { assert(error.message == "there is no element 7: the array has 2" && error.at.contains(":10:"), `${error}`); }
        try { 1 / 0 } catch (error) { assert(error.help.contains("infinity"), `${error}`); }
        let m = #{ a: 1 };
        try { m.b } catch (error) { assert(error.message == "the map has no `b`" && error.help.contains("map.get"), `${error}`); }
        try { [1].map(|x| x + m) } catch (error) { assert(error.message.contains("+") && error.at.contains(":14:"), `${error}`); }
        // What a script has thrown is what it has thrown.
        try { throw "x"; } catch (error) { assert(error == "x", `${error}`); }
        try { throw #{ code: 5 }; } catch (error) { assert(error.code == 5, `${error}`); }
        try { throw 7; } catch { }
        for (name, value) in m { try { value.push(1) } catch (e) { assert(e.at.contains(":19:46"), `${e}`); } }
    "#)
    .unwrap();
}

#[test]
fn rows_stay_when_a_script_fails() {
    let parent = tempfile::tempdir().unwrap();
    let place = parent.path().display();
    let text = format!(
        "let run = run_directory(\"t\", \"{place}\");\nrun.csv(\"a.csv\", [\"x\", \"y\"]);\nrun.row(\"a.csv\", #{{ x: 1, y: 0.5 }});\nrun.row(\"a.csv\", #{{ x: 1 }});"
    );
    let error = error(&text);
    assert!(error.contains("test.rhai:4:5: ") && error.contains("no value for y"), "{error}");
    let kept = fs::read_dir(parent.path()).unwrap().next().unwrap().unwrap().path();
    assert!(kept.display().to_string().ends_with(".partial"));
    assert_eq!(fs::read_to_string(kept.join("a.csv")).unwrap(), "x,y\n1,0.5\n");
    assert!(fs::read_to_string(kept.join("FAILED.txt")).unwrap().contains("no value for y"));
}

#[test]
fn whole_directories() {
    let parent = tempfile::tempdir().unwrap();
    let place = parent.path().display();
    run(&format!(
        "let run = run_directory(\"t\", \"{place}\");\nrun.json(\"report.json\", #{{ a: 0.0 / 0.0, t: tokens([1]), n: numbers([0.5]), none: () }});\nrun.text(\"tables.tex\", \"x\");\nlet path = run.finish();\nassert(run.path == path && path.contains(\"/t_\"), path);"
    ))
    .unwrap();
    let path = fs::read_dir(parent.path()).unwrap().next().unwrap().unwrap().path();
    let report: serde_json::Value = serde_json::from_str(&fs::read_to_string(path.join("report.json")).unwrap()).unwrap();
    assert_eq!(report, serde_json::json!({ "a": null, "n": [0.5], "none": null, "t": [1], "not_finite": { "a": "NaN" } }));
}

#[test]
fn clocks_and_warm_up() {
    run(r#"
        let times = measure(4, || random_tokens(10, 10, 1));
        assert(times.len == 4 && times.min() >= 0.0, "four");
        let n = 0;
        let warm = settle(#{ least: 2, most: 6 }, || n += 1);
        assert(warm.runs == n && n >= 2 && n <= 6 && warm.ms.len == n, `${n}`);
    "#)
    .unwrap();
    assert!(error("settle(#{ mots: 6 }, || 1);").contains("did you mean `most`?"));
}

#[test]
fn parquet_files_are_read() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/parquet");
    run(&format!(
        r#"
        const HERE = "{directory}";
        let about = parquet_columns(HERE + "/none.parquet");
        assert(about.columns == ["id", "text", "tags"] && about.rows == 20, `${{about}}`);
        for name in ["none", "snappy", "gzip", "lz4"] {{
            let rows = read_parquet(HERE + `/${{name}}.parquet`);
            assert(rows.len == 20 && rows[19] == #{{ id: 19, text: "naïve 東京", tags: ["a"] }}, `${{rows[19]}}`);
            assert(rows[2].text == () && rows[1].text == "", "what is missing is not what is empty");
        }}
        assert(read_parquet(HERE + "/snappy.parquet", "id").sum() == 190, "a column");
        assert(read_parquet(HERE + "/snappy.parquet", #{{ columns: ["tags", "id"], rows: 2 }}) == [#{{ id: 0, tags: ["a"] }}, #{{ id: 1, tags: ["a"] }}], "some of it");
        try {{ read_parquet(HERE + "/none.parquet", "txt") }}
        catch (error) {{ assert(error.message.contains("`txt`") && error.help.contains("id, text, tags") && error.at.ends_with("none.parquet"), `${{error}}`); }}
        try {{ read_parquet(HERE + "/zstd.parquet") }} catch (error) {{ assert(error.help.contains("snappy"), `${{error}}`); }}
    "#
    ))
    .unwrap();
}
