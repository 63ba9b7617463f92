//! Words of the language, and what scripts and benchmarks may have: what `caramba docs` says beside the functions.

/// One subject: the names it is found by, a sentence, more lines and an example that runs.
pub(super) struct Topic {
    pub(super) names: &'static [&'static str],
    pub(super) about: &'static str,
    pub(super) example: &'static str,
}

pub(super) const TOPICS: &[Topic] = &[
    Topic {
        names: &["let", "const", "variables", "global"],
        about: "Variables and constants. A function sees its parameters, not the variables outside; it sees constants as `global::NAME`.",
        example: "let count = 1;\ncount += 2;\nconst LIMIT = 10;\nfn left(count) { global::LIMIT - count }\nprint(left(count));",
    },
    Topic {
        names: &["fn", "functions", "return", "this"],
        about: "Functions. The last expression without `;` is what they return. Arguments are copies: what a function does to one is lost unless it is \
                returned. Called as a method, the object is `this`, and is changed.",
        example: "fn square(x) { x * x }\nfn first(values) {\n    if values.is_empty() { return (); }\n    values[0]\n}\nfn add(n) { this += n; }\nlet total = 1;\ntotal.add(2);\nprint(square(total));",
    },
    Topic {
        names: &["closures", "lambda", "|x|"],
        about: "Functions without a name: `|x| x + 1`, or with a block. They see the variables around them. `f.call(x)` calls one that a variable holds.",
        example: "let twice = |x| x * 2;\nprint(twice.call(3));\nprint([1, 2, 3].map(|x| x * x).filter(|x| x > 1));",
    },
    Topic {
        names: &["if", "else", "elif"],
        about: "A condition in front of a block. It is a value, too.",
        example: "let n = 3;\nif n > 2 && n != 5 { print(\"large\"); } else if n == 0 { print(\"none\"); } else { print(\"small\"); }\nlet size = if n > 2 { \"large\" } else { \"small\" };",
    },
    Topic {
        names: &["switch", "match", "case"],
        about: "One of several values. `_` is any other.",
        example: "let kind = \"q8\";\nlet bits = switch kind { \"q8\" => 8, \"q4\" => 4, _ => 16 };\nprint(bits);",
    },
    Topic {
        names: &["for", "loops", "range", "in", "break", "continue"],
        about: "Goes through arrays, maps, ranges, tokens, numbers and texts. A second name counts the turns; over a map they are name and value. \
                `break` ends a loop, `continue` begins its next turn.",
        example: "for index in 0..3 { print(index); }\nfor (value, index) in [\"a\", \"b\"] { print(`${index}: ${value}`); }\nlet sizes = #{ small: 1, large: 10 };\nfor (name, size) in sizes { print(`${name}: ${size}`); }\nfor x in range(0.0, 1.0, 0.25) { print(x); }",
    },
    Topic {
        names: &["while", "loop", "do", "until"],
        about: "Loops with a condition, and without one.",
        example: "let n = 0;\nwhile n < 3 { n += 1; }\nloop { n -= 1; if n == 0 { break; } }\ndo { n += 1; } until n == 3;",
    },
    Topic {
        names: &["texts", "text", "strings", "f-strings", "format"],
        about: "Texts in double quotes, with \\n and \\\" in them. In backticks, `${...}` puts values in, and lines may end. `'a'` is one character. \
                `fixed(x, 2)`, `digits(x, 3)` and `padded(x, 8)` format numbers.",
        example: "let name = \"austen\";\nprint(`${name} has ${name.len} letters, ${name.to_upper()}`);\nprint(name.contains(\"ten\") && name.starts_with(\"au\"));\nprint(\"a, b\".split(\", \"));",
    },
    Topic {
        names: &["arrays", "lists", "array"],
        about: "Lists of anything, from 0 on; -1 is the last one. `push` adds to the end, `a + b` joins, `values.extract(1..3)` is a part. Long lists of \
                numbers are better kept packed: `numbers([...])`, `tokens([...])`.",
        example: "let values = [3, 1, 2];\nvalues.push(5);\nprint(values[-1]);\nprint(values.len);\nprint(values.sort());\nprint(1 in values);\nprint(values.map(|x| x * 2).mean());",
    },
    Topic {
        names: &["maps", "map", "dict", "objects"],
        about: "Values by name: `#{ name: value }`. A name that is missing is an error; `map.get(\"name\")` gives `()` then, and `??` another value.",
        example: "let row = #{ model: \"austen\", loss: 3.2 };\nrow.loss = 3.1;\nprint(\"loss\" in row);\nprint(row.get(\"error\") ?? \"none\");\nprint(row.keys());",
    },
    Topic {
        names: &["()", "null", "None", "??"],
        about: "`()` is nothing: what a function returns that returns nothing. `a ?? b` is b where a is nothing.",
        example: "let nothing = ();\nprint(nothing == ());\nprint(nothing ?? 5);",
    },
    Topic {
        names: &["numbers", "integers", "floats", "division", "arithmetic"],
        about: "Integers and floats are different: `3 / 4` is 0, `3.0 / 4` is 0.75. `**` is a power, `%` the remainder. Methods: `x.sqrt()`, `x.exp()`, \
                `x.ln()`, `x.abs()`, `x.round()`, `x.to_int()`, `x.to_float()`; `min(a, b)`, `max(a, b)`.",
        example: "print(7 / 2);\nprint(7 / 2.0);\nprint(2 ** 10);\nprint((2.0).sqrt());\nprint(7.to_float() / 2);",
    },
    Topic {
        names: &["import", "export", "modules", "::"],
        about: "`import \"name\" as name;` finds a script beside the one that asks, beside the main one, then inside the binary. Its functions and \
                constants are called with `::`. `private fn` stays inside.",
        example: "import \"words\" as words;\nprint(words::spoken(\"prefill_ms\"));",
    },
    Topic {
        names: &["try", "catch", "throw", "errors", "exceptions"],
        about: "`fail(what, remedy)` ends a script with a sentence and what to do. `try` and `catch` keep it going: `error.message`, `error.help`, `error.at`.",
        example: "try { fail(\"there is no file\", \"make one\"); }\ncatch (error) { print(`${error.message}: ${error.help}`); }",
    },
    Topic {
        names: &["comments", "#", "//"],
        about: "`// to the end of the line`, `/* over lines */`; `///` before a function documents it. The first comment of a script is what \
                `caramba script NAME.rhai --help` shows.",
        example: "// one line\n/* several\n   lines */\nprint(1);",
    },
    Topic {
        names: &["operators", "and", "or", "not", "=="],
        about: "`+ - * / % **`, `== != < <= > >=`, `&& || !` (and, or, not), `in`, `??`, `+=` and its like, `<<` and `>>`, `& | ^`. There is no `++` and no `? :`.",
        example: "let i = 0;\ni += 1;\nprint(i == 1 && !(i > 2) || false);",
    },
    Topic {
        names: &["args", "arguments", "--set", "PARAMETERS", "parameters"],
        about: "`args.name` is what `--set name=value` gave, `args.rest` a list of what stood after `--`. `const PARAMETERS` declares what may be given: a \
                default says the type, `required(example)` stands where there is none, the comment at the end of the line describes it. Misspelt names \
                and wrong types are then errors.",
        example: "const PARAMETERS = #{\n    lengths: [128, 512],    // tokens of the prompt\n    name: \"austen\",         // who\n};\nprint(args.lengths.len);\nprint(args.name);",
    },
    Topic {
        names: &["benchmark", "benchmarks", "cells", "measure", "prepare", "sample", "headline", "charts", "check", "derive", "METRICS"],
        about: "A script that says what its cells are and how one is measured; `caramba new NAME` writes one.\n\n\
                PARAMETERS                   what may be given, with defaults\n\
                METRICS                      optional: title, better (\"lower\", \"higher\"), decimals of each metric\n\
                cells(config)                a list of maps, one for each row; grid(#{ name: [values] }) makes one\n\
                check(model, cell, config)   optional: what can be known to be wrong; invalid(parameter, what, remedy) says it\n\
                measure(model, cell, config) a map: the values of the row\n\
                prepare(model, cell, config) of a timing: what is not timed, and is handed to sample\n\
                sample(state, cell, config)  of a timing, once per round: a map of times; models take turns\n\
                derive(row)                  optional: values of averaged ones; returns the row\n\
                headline(rows)               optional: the numbers of summary and thresholds, `student.loss / teacher.loss < 1.1`\n\
                charts(rows)                 optional: a list of line_chart(rows, #{ x: ..., y: ... }) and bar_chart(...)\n\
                work(cell, config)           optional: #{ prompt: tokens, steps: tokens }, for an estimate of the time\n\n\
                Rows on disk as they come, failures as rows, resume, shards, repeats, intervals, thresholds, tables and the report need no line. It is run \
                by `caramba script NAME.rhai --set model=PATH`, or by `type: NAME` in a manifest.",
        example: "const PARAMETERS = #{ lengths: [16, 32] };\nfn cells(config) { grid(#{ length: config.lengths }) }\nfn measure(model, cell, config) {\n    let session = model.session(#{ context: cell.length });\n    let scores = session.score(random_tokens(cell.length, model.vocab, 1));\n    #{ loss: -scores.mean() }\n}\nfn headline(rows) { #{ loss: rows.with_most(\"length\")[0] } }",
    },
];
