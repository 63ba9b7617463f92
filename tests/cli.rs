//! What a user sees at the command line: helps, messages, exit codes.

mod common;

use common::cli::caramba;

#[test]
fn alone_it_shows_its_help() {
    let alone = caramba(&[]);
    assert_eq!(alone, caramba(&["--help"]));
    insta::assert_snapshot!(alone, @r#"
    exit code 0
    Turns a research idea about attention into a paper's evidence, on any GPU

    Usage: caramba [OPTIONS] [COMMAND]

    Commands:
      script       Run a script: a .rhai file, or a built-in one by its name
      run          Run an experiment: a target of a YAML manifest
      new          Begin a benchmark of your own: a commented script and a manifest that run at once
      check        Check scripts, manifests and benchmarks without running them: all mistakes of all files
      docs         Show what a function, type, script or word of the language is, or list all there is
      show         Print a bundled script, preset or benchmark
      repl         Type scripts line by line: values are shown, Tab completes, ?name shows documentation
      report       Make the artifacts of a run again, finished or not, from the rows that it has
      compare      Compare runs: cells of equal values, and what has changed beyond the noise
      merge        Make one run of the shards of it that several machines have measured
      slurm        Submit an experiment to Slurm: a job array of its shards, and a merge that waits for it
      generate     Continue a prompt; the text streams to standard output
      devices      List the adapters, what they can do, and which one is used
      inspect      Show a model's architecture, tensors and bytes per token of each cache kind, or what a dataset
                   holds
      tokenize     Turn texts into datasets of token ids
      defs         Write definition files for editors: completion and documentation of the script API
      schema       Print the JSON Schema of manifests, of benchmarks of prompts, or of reports
      completions  Print the completion script of a shell
      man          Write man pages, one for each verb

    Options:
      -q, --quiet    Say nothing in passing: no notes, no progress; warnings and errors stay
          --verbose  Say more in passing: files that are read, the device that is opened, times
      -h, --help     Print help
      -V, --version  Print version

    Examples:
      caramba script full_paper.rhai                      a paper's tables and charts from the bundled models
      caramba new mine                                    a benchmark of your own: mine.rhai, mine.yml
      caramba docs prefill                                what a function does, or what there is
      caramba run experiment.yml --dry-run                what an experiment would do
      caramba generate model.gguf "The sea was"           text, as it is made
      caramba inspect model.gguf                          what is in a model, and what its cache costs

    `caramba MANIFEST.yml` is short for `caramba run MANIFEST.yml`, `caramba SCRIPT.rhai` for `caramba script
    SCRIPT.rhai`.
    `caramba -` runs a script from standard input, `caramba -e CODE` one from the command line.
    Results go to standard output, everything else to standard error.

    Exit status:
      0    success
      1    a mistake, or a failure
      2    a wrong command line
      3    a threshold or a check failed
      4    not everything could be measured
      130  Ctrl-C (143: a plain kill)

    Environment:
      CARAMBA_DEVICE, CARAMBA_BACKEND, CARAMBA_KERNELS, CARAMBA_OUTPUT
                     the options of these names, where they are not given
      CARAMBA_CACHE  where bundled models, measured kernels and the history of `caramba repl` are kept
      NO_COLOR       text without colours
    "#);
}

#[test]
fn it_knows_its_version() {
    assert_eq!(caramba(&["--version"]), format!("exit code 0\ncaramba {}", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_verb_has_a_help() {
    // The list of scripts grows: it isn't kept here.
    let script = caramba(&["script", "--help"]);
    let script: String = script.split("\n\n").filter(|part| !part.starts_with("Built-in scripts: ")).collect::<Vec<_>>().join("\n\n");
    insta::assert_snapshot!(script, @r"
    exit code 0
    Run a script: a .rhai file, or a built-in one by its name

    Usage: caramba script [OPTIONS] [FILE] [-- <ARGS>...]

    Arguments:
      [FILE]     The script; a file of a built-in script's name wins over it; `-` reads standard input
      [ARGS]...  What the script finds in `args.rest`

    Options:
      -e, --eval <CODE>      Run this code in place of a file
      -q, --quiet            Say nothing in passing: no notes, no progress; warnings and errors stay
          --set <KEY=VALUE>  A value for the script's `args.KEY`, read like a value in YAML
          --verbose          Say more in passing: files that are read, the device that is opened, times
          --describe         Say what the script does and which values it takes, but don't run it
      -h, --help             Print help

    Cells:
          --resume <DIR>  Go on with a run that was ended: measure what is missing in its directory, and nothing
                          twice
          --shard <I/N>   Measure only the i-th of n shares of the cells; `caramba merge` makes one run of all
      -o, --output <DIR>  The directory above the run's [default: artifacts] [env: CARAMBA_OUTPUT]
          --cells         List the cells that would be measured, but measure none
          --json          With --cells: a line of JSON for each

    Data:
          --dtype <TYPE>  How token ids are stored in files that don't say it themselves (.bin): uint16, uint32

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices` [env:
                                  CARAMBA_DEVICE]
          --backend <BACKEND>     The graphics API to reach it by [env: CARAMBA_BACKEND] [possible values: vulkan,
                                  metal, dx12, gl]
          --kernels <CHOICE>      How kernels are chosen: auto (as measured once), rule, measure (again, now), or
                                  a file that says it [env: CARAMBA_KERNELS]

    Permissions and limits:
          --allow-read <PATH>    Let the script read this file, or below this folder (it reads below its own, the
                                 working folder, and what it is given)
          --allow-write <PATH>   Let the script write this file, or below this folder (it writes into its run
                                 directory)
          --allow-run            Let the script, or the manifest's `runs`, start other programs
          --allow-env            Let the script read environment variables
          --allow-net            Let the script fetch models from the hub that neither you nor your manifest have
                                 named
          --allow-all            Let the script do everything: for work that you trust
          --time-limit <TIME>    End the script after this time: 90s, 10m, 2h
          --memory-limit <SIZE>  Let it take so much memory on the host, and as much on the device: 500M, 8G
                                 [default: half of the host's]
          --max-operations <N>   End the script after so many operations

    Examples:
      caramba script full_paper.rhai
      caramba script mine.rhai --help                     the parameters of that script
      caramba script upcycle.rhai --set teacher=models/Llama-3.2-1B --set sem_dim=128
      caramba script mine.rhai --set lengths='[128, 512]' -- first second
      caramba -e 'print(device().name)'
    ");
    insta::assert_snapshot!(caramba(&["run", "-h"]), @r"
    exit code 0
    Run an experiment: a target of a YAML manifest

    Usage: caramba run [OPTIONS] <MANIFEST>

    Arguments:
      <MANIFEST>  The manifest, or the name of a preset

    Options:
      -q, --quiet          Say nothing in passing: no notes, no progress; warnings and errors stay
          --target <NAME>  The target to run [default: the manifest's default, or its only target]
          --dry-run        Check the manifest and say what would be done, but do nothing
          --verbose        Say more in passing: files that are read, the device that is opened, times
      -h, --help           Print help

    Cells:
          --resume <DIR>  Go on with a run that was ended: measure what is missing in its directory, and nothing
                          twice
          --shard <I/N>   Measure only the i-th of n shares of the cells; `caramba merge` makes one run of all
      -o, --output <DIR>  The directory above the run's [default: artifacts] [env: CARAMBA_OUTPUT]
          --cells         List the cells that would be measured, but measure none
          --json          With --cells: a line of JSON for each

    Data:
          --dtype <TYPE>  How token ids are stored in files that don't say it themselves (.bin): uint16, uint32

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices` [env:
                                  CARAMBA_DEVICE]
          --backend <BACKEND>     The graphics API to reach it by [env: CARAMBA_BACKEND] [possible values: vulkan,
                                  metal, dx12, gl]
          --kernels <CHOICE>      How kernels are chosen: auto (as measured once), rule, measure (again, now), or
                                  a file that says it [env: CARAMBA_KERNELS]

    Permissions and limits:
          --allow-read <PATH>    Let the script read this file, or below this folder (it reads below its own, the
                                 working folder, and what it is given)
          --allow-write <PATH>   Let the script write this file, or below this folder (it writes into its run
                                 directory)
          --allow-run            Let the script, or the manifest's `runs`, start other programs
          --allow-env            Let the script read environment variables
          --allow-net            Let the script fetch models from the hub that neither you nor your manifest have
                                 named
          --allow-all            Let the script do everything: for work that you trust
          --time-limit <TIME>    End the script after this time: 90s, 10m, 2h
          --memory-limit <SIZE>  Let it take so much memory on the host, and as much on the device: 500M, 8G
                                 [default: half of the host's]
          --max-operations <N>   End the script after so many operations

    Presets:
      quick_validation
      full_paper
      evaluation
      llama32_1b_dba

    `caramba check MANIFEST` checks every target.
    ");
    insta::assert_snapshot!(caramba(&["generate", "--help"]), @r#"
    exit code 0
    Continue a prompt; the text streams to standard output

    Usage: caramba generate [OPTIONS] <MODEL> <PROMPT>

    Arguments:
      <MODEL>   The model: a directory, a .gguf, .safetensors or .pt file; models/austen and models/austen-dba are
                bundled
      <PROMPT>  The text to continue; `-` reads it from standard input

    Options:
      -q, --quiet                   Say nothing in passing: no notes, no progress; warnings and errors stay
          --verbose                 Say more in passing: files that are read, the device that is opened, times
          --max-tokens <N>          Stop after so many tokens [default: 128]
          --temperature <T>         0 takes the most likely token each time; higher values vary more [default: 0]
          --top-k <K>               Choose among the K most likely tokens only; 0: all [default: 0]
          --top-p <P>               Choose among the likeliest tokens that make up this share of the probability
                                    [default: 1]
          --min-p <P>               Choose among tokens that are at least so many times as likely as the likeliest
                                    [default: 0]
          --repetition-penalty <X>  Make tokens that the text has less likely; 1: no, 1.1: mildly [default: 1]
          --stop <TEXT>             Stop before this text; can be given several times
          --chat                    The prompt is what a user says to the model: the model's chat template is put
                                    around it
          --system <TEXT>           With --chat: what the model is told before
          --seed <N>                The same seed gives the same text [default: 0]
          --ignore-end              Go on after an end-of-text token
          --cache <KIND>            How keys and values are stored [default: fp16]
          --context <TOKENS>        Room for so many tokens, prompt included [default: what the prompt and
                                    --max-tokens need]
      -h, --help                    Print help

    Training checkpoints:
          --manifest <MANIFEST>  Find the model in this manifest, by its name or path: it says what a training
                                 checkpoint's tensors mean
          --target <NAME>        The target of the manifest [default: as for `caramba run`]
          --state-dict <NAME>    Take this dictionary of a checkpoint that holds several (`model`, `ema`)

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices` [env:
                                  CARAMBA_DEVICE]
          --backend <BACKEND>     The graphics API to reach it by [env: CARAMBA_BACKEND] [possible values: vulkan,
                                  metal, dx12, gl]
          --kernels <CHOICE>      How kernels are chosen: auto (as measured once), rule, measure (again, now), or
                                  a file that says it [env: CARAMBA_KERNELS]

    Cache kinds; q5/q4 is q5 for keys and q4 for values:
      fp16  half floats, 16 bits an element
      q8    8-bit codes, 8.5 bits an element
      q6    6-bit codes, 6.5 bits an element
      q5    5-bit codes, 5.5 bits an element
      q4    4-bit codes, 4.5 bits an element
      q3    3-bit codes, 3.5 bits an element
      none  no cache: the prefix is recomputed at every step

    Examples:
      caramba generate models/SmolLM2-135M "The sea was"
      caramba generate model.gguf "The sea was" --temperature 0.8 --top-p 0.95 --seed 7 --cache q8
      caramba generate instruct.gguf "Name three rivers." --chat
      caramba generate model.gguf - < prompt.txt
    "#);
    insta::assert_snapshot!(caramba(&["devices", "--help"]), @r"
    exit code 0
    List the adapters, what they can do, and which one is used

    Usage: caramba devices [OPTIONS]

    Options:
          --json     A line of JSON for each adapter
      -q, --quiet    Say nothing in passing: no notes, no progress; warnings and errors stay
          --verbose  Say more in passing: files that are read, the device that is opened, times
      -h, --help     Print help

    Device:
          --device <NAME|NUMBER>  The adapter to use: a part of its name, or its number in `caramba devices` [env:
                                  CARAMBA_DEVICE]
          --backend <BACKEND>     The graphics API to reach it by [env: CARAMBA_BACKEND] [possible values: vulkan,
                                  metal, dx12, gl]
          --kernels <CHOICE>      How kernels are chosen: auto (as measured once), rule, measure (again, now), or
                                  a file that says it [env: CARAMBA_KERNELS]
    ");
    insta::assert_snapshot!(caramba(&["inspect", "--help"]), @r"
    exit code 0
    Show a model's architecture, tensors and bytes per token of each cache kind, or what a dataset holds

    Usage: caramba inspect [OPTIONS] <MODEL>

    Arguments:
      <MODEL>  The model: a directory, a .gguf, .safetensors or .pt file; models/austen and models/austen-dba are
               bundled

    Options:
      -q, --quiet         Say nothing in passing: no notes, no progress; warnings and errors stay
          --verbose       Say more in passing: files that are read, the device that is opened, times
          --tensors       List every tensor
          --json          One JSON object in place of the text
          --dtype <TYPE>  How the ids of a dataset are stored that doesn't say it itself (.bin): uint16, uint32
      -h, --help          Print help

    Training checkpoints:
          --manifest <MANIFEST>  Find the model in this manifest, by its name or path: it says what a training
                                 checkpoint's tensors mean
          --target <NAME>        The target of the manifest [default: as for `caramba run`]
          --state-dict <NAME>    Take this dictionary of a checkpoint that holds several (`model`, `ema`)

    Examples:
      caramba inspect models/SmolLM2-135M.gguf
      caramba inspect runs/student.pt --manifest experiment.yml --target paper
      caramba inspect data/held_out.npy
      caramba inspect 'shards/*.npy'
    ");
    insta::assert_snapshot!(caramba(&["tokenize", "--help"]), @r"
    exit code 0
    Turn texts into datasets of token ids

    Usage: caramba tokenize [OPTIONS] --output <FILE> <MODEL> <FILES>...

    Arguments:
      <MODEL>
              The model: a directory, a .gguf, .safetensors or .pt file; models/austen and models/austen-dba are
              bundled

      <FILES>...
              Texts in UTF-8 and .jsonl files (.gz and .zst, too), .parquet files, directories of them; `-` reads
              standard input

    Options:
      -q, --quiet
              Say nothing in passing: no notes, no progress; warnings and errors stay

          --verbose
              Say more in passing: files that are read, the device that is opened, times

      -o, --output <FILE>
              Where the token ids go: a .npy file, or a .bin file of nothing but ids

          --field <NAME>
              The field of JSON lines, or the column of Parquet files, that holds the text; standard input is then
              JSON lines [default: text]

          --special
              Begin each document with the model's begin-of-text token, if it has one

          --separator <SEPARATOR>
              What stands between documents

              Possible values:
              - eos:  The model's end-of-text token
              - none: Nothing
              
              [default: eos]

          --split <NAME=SHARE,...>
              Several datasets, and their shares of the tokens: train=0.9,val=0.1 makes FILE.train.npy and
              FILE.val.npy

          --shard-tokens <TOKENS>
              Begin a new file after so many tokens: FILE.00000.npy, FILE.00001.npy, ...

      -h, --help
              Print help (see a summary with '-h')

    Training checkpoints:
          --manifest <MANIFEST>
              Find the model in this manifest, by its name or path: it says what a training checkpoint's tensors
              mean

          --target <NAME>
              The target of the manifest [default: as for `caramba run`]

          --state-dict <NAME>
              Take this dictionary of a checkpoint that holds several (`model`, `ema`)

    A text file is one document, and so is each line of JSON lines (.jsonl) and each row of a Parquet file. Ids
    are stored as
    uint16 where the vocabulary allows it, else as uint32. DATA.npy.json beside a dataset says which tokenizer
    made it.

    Examples:
      caramba tokenize models/SmolLM2-135M book.txt -o book.npy
      caramba tokenize models/SmolLM2-135M corpus/ --split train=0.95,val=0.05 -o corpus.npy
      caramba tokenize models/SmolLM2-135M dump.jsonl.zst --shard-tokens 100000000 -o dump.npy
    ");
    insta::assert_snapshot!(caramba(&["check", "--help"]), @r"
    exit code 0
    Check scripts, manifests and benchmarks without running them: all mistakes of all files

    Usage: caramba check [OPTIONS] <FILE>...

    Arguments:
      <FILE>...  .rhai files, .yml files (manifests, benchmarks of prompts), names of presets or built-in scripts

    Options:
          --json     A line of JSON for each mistake: file, line, column, message, help
      -q, --quiet    Say nothing in passing: no notes, no progress; warnings and errors stay
          --verbose  Say more in passing: files that are read, the device that is opened, times
      -h, --help     Print help

    Examples:
      caramba check mine.rhai paper.yml
      caramba check scripts/*.rhai --json                 for programs: a line of JSON for each mistake

    Nothing is run, written or measured, and no device is opened. The exit status is 1 where there is a mistake.
    ");
}

#[test]
fn mistyped_commands_are_told() {
    insta::assert_snapshot!(caramba(&["genrate", "a", "b"]), @r"
    exit code 2
    error: unrecognized subcommand 'genrate'

      tip: a similar subcommand exists: 'generate'

    Usage: caramba [OPTIONS] [COMMAND]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["devices", "--devise", "0"]), @r"
    exit code 2
    error: unexpected argument '--devise' found

      tip: a similar argument exists: '--device'

    Usage: caramba devices --device <NAME|NUMBER>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["devices", "--backend", "cuda"]), @r"
    exit code 2
    error: invalid value 'cuda' for '--backend <BACKEND>'
      [possible values: vulkan, metal, dx12, gl]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["generate", "m.gguf", "hello", "--cache", "q8/q7"]), @r"
    exit code 2
    error: invalid value 'q8/q7' for '--cache <KIND>': unknown cache kind `q7`
      help: known are: fp16, q8, q6, q5, q4, q3, none

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["generate", "m.gguf", "hello", "--top-p", "1.5"]), @r"
    exit code 2
    error: invalid value '1.5' for '--top-p <P>': give a number above 0, up to 1

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["script", "a.rhai", "--set", "lengths"]), @r"
    exit code 2
    error: invalid value 'lengths' for '--set <KEY=VALUE>': write key=value

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(caramba(&["tokenize", "m.gguf", "a.txt"]), @r"
    exit code 2
    error: the following required arguments were not provided:
      --output <FILE>

    Usage: caramba tokenize --output <FILE> <MODEL> <FILES>...

    For more information, try '--help'.
    ");
}

#[test]
fn missing_files_are_told() {
    insta::assert_snapshot!(caramba(&["inspect", "models/none.gguf"]), @r"
    exit code 1
    error: models/none.gguf: No such file or directory (os error 2)
      help: check the path; it is relative to the current directory
    ");
    insta::assert_snapshot!(caramba(&["paper.yml"]), @r"
    exit code 1
    error: paper.yml: there is no such file
      help: give the path of a manifest, or the name of a preset: quick_validation, full_paper, evaluation, llama32_1b_dba
    ");
    insta::assert_snapshot!(caramba(&["run", "ful_paper"]), @r"
    exit code 1
    error: unknown preset `ful_paper`
      help: did you mean `full_paper`? known are: quick_validation, full_paper, evaluation, llama32_1b_dba
    ");
}

#[test]
fn an_adapter_that_there_is_not_is_told() {
    let told = caramba(&["devices", "--device", "Voodoo 2"]);
    assert!(told.starts_with("exit code 1\n0  ") && told.contains("error: no adapter `Voodoo 2`\n  help: there are 0: "), "{told}");
}

/// A device that nobody meant, and a driver that is not there: both are said.
#[test]
fn a_device_without_a_name_and_a_driver_that_is_not_there_are_told() {
    for arguments in [&["--device", ""][..], &["--device="], &["--device", "  "]] {
        let told = caramba(&[&["-e", "print(device().name)"], arguments].concat());
        assert!(
            told.starts_with("exit code 1")
                && told.contains("--device: the name of the adapter is empty")
                && told.contains("there are 0: "),
            "{told}"
        );
    }
    for variable in ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] {
        let directory = tempfile::tempdir().unwrap();
        let mut command = assert_cmd::Command::cargo_bin("caramba").unwrap();
        let output =
            command.current_dir(directory.path()).env(variable, "/no/such/icd.json").args(["-e", "print(device().name)"]).output().unwrap();
        let told = common::cli::shown(&output);
        assert!(told.contains(&format!("{variable} names the driver /no/such/icd.json, and nothing is there")), "{told}");
    }
}

#[test]
fn the_script_api_is_at_hand() {
    assert_eq!(caramba(&["api"]), format!("exit code 0\n{}", include_str!("../docs/script-api.md").trim_end()));
    let directory = tempfile::tempdir().unwrap();
    let told = common::cli::shown(&common::cli::caramba_in(directory.path(), &["api", "--definitions", "editor"]));
    assert_eq!(told, "exit code 0\ndefinitions are in editor");
    let definitions = std::fs::read_to_string(directory.path().join("editor/.rhai/caramba.d.rhai")).unwrap();
    assert!(definitions.contains("fn prefill(session: Session, "), "the definitions have sessions");
    assert!(directory.path().join("editor/Rhai.toml").exists(), "and the workspace file is there");
}

/// A script, however it is handed over.
#[test]
fn scripts_are_run_as_they_come() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let run = |arguments: &[&str]| common::cli::shown(&common::cli::caramba_in(directory.path(), arguments));
    assert_eq!(run(&["-e", "print(1 + 1)"]), "exit code 0\n2");
    assert_eq!(run(&["-e", "print(args.n + 1)", "--set", "n=3"]), "exit code 0\n4");
    write("plain.rhai", "// Adds.\nconst PARAMETERS = #{ n: 1 };    // what is added\nprint(args.n + 1);");
    assert_eq!(run(&["plain.rhai", "--set", "n=4"]), "exit code 0\n5");
    write("program", "#!/usr/bin/env caramba\nprint(6);\n");
    assert_eq!(run(&["./program"]), "exit code 0\n6");
    write("marked.rhai", "\u{feff}print(7);\n");
    assert_eq!(run(&["marked.rhai"]), "exit code 0\n7");
    let mut command = assert_cmd::Command::cargo_bin("caramba").unwrap();
    assert_eq!(common::cli::shown(&command.arg("-").write_stdin("print(8)").output().unwrap()), "exit code 0\n8");
    let help = run(&["script", "plain.rhai", "--help"]);
    assert!(help.starts_with("exit code 0\nAdds.\n") && help.contains("  n  1 (an integer)") && help.contains("--device"), "{help}");
    assert_eq!(help, run(&["plain.rhai", "-h"]));
}

/// All mistakes of all files at once.
#[test]
fn many_files_are_checked() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a.rhai"), "let m = laod(\"x\");\nm.foo();\nlet v = [1].lenght();\n").unwrap();
    std::fs::write(directory.path().join("b.rhai"), "print(1);\n").unwrap();
    let run = |arguments: &[&str]| common::cli::shown(&common::cli::caramba_in(directory.path(), arguments));
    let told = run(&["check", "a.rhai", "b.rhai", "quick_validation"]);
    assert!(
        told.starts_with("exit code 1\nb.rhai: no mistakes found\nquick_validation: no mistakes found in the target quick\n"),
        "{told}"
    );
    for part in ["error: a.rhai:1:9: ", "error: a.rhai:2:3: ", "error: a.rhai:3:13: ", "3 mistakes in 1 of 3 files"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let lines = run(&["check", "a.rhai", "--json"]);
    let first: serde_json::Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!((&first["file"], &first["line"], &first["column"]), (&"a.rhai".into(), &1.into(), &9.into()));
    assert_eq!(first["help"], "did you mean `load`?");
}

/// What is inside of the binary, and what it writes for other programs.
#[test]
fn it_shows_and_writes_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| common::cli::shown(&common::cli::caramba_in(directory.path(), arguments));
    assert_eq!(run(&["show", "latency"]), format!("exit code 0\n{}", include_str!("../scripts/latency.rhai").trim_end()));
    assert!(run(&["show", "full_paper"]).contains("say which: full_paper.rhai, full_paper.yml"));
    assert!(run(&["show", "latncy"]).contains("did you mean `latency`?"));
    assert!(run(&["show"]).contains("  latency.rhai"));
    assert!(run(&["docs", "prefill"]).contains("Session.prefill(tokens: any)"));
    assert!(run(&["new", "latency"]).contains("there is a built-in script called `latency`"));
    assert!(run(&["new", "mine"]).starts_with("exit code 0\nmine.rhai says what is measured"));
    assert!(run(&["new", "mine"]).contains("there is such a file already"));
    assert!(run(&["check", "mine.rhai", "mine.yml"]).starts_with("exit code 0\n"));
    assert!(run(&["completions", "bash"]).contains("tokenize"));
    assert!(run(&["man", "pages"]).contains("pages/caramba-script.1"));
    let schema = run(&["schema", "manifest"]);
    let schema: serde_json::Value = serde_json::from_str(schema.trim_start_matches("exit code 0\n")).unwrap();
    assert_eq!(schema["title"], "caramba manifest");
    let model: serde_json::Value =
        serde_json::from_str(run(&["inspect", "models/austen", "--json"]).trim_start_matches("exit code 0\n")).unwrap();
    assert!(model["layers"].as_u64().unwrap() > 0 && model["cache_bytes_per_token"]["q8"].as_u64().unwrap() > 0);
    assert_eq!(run(&["run", "quick_validation", "--dry-run", "--quiet"]).lines().next(), Some("exit code 0"));
}

#[test]
fn a_script_says_what_it_takes() {
    let told = caramba(&["script", "fidelity", "--describe"]);
    assert!(told.contains("Returns `passed`, `failures` in words"), "{told}");
    assert!(told.contains("  dataset        required (text)           a .npy file of token ids\n"), "{told}");
    // The list of scripts grows: it isn't kept here.
    let told = caramba(&["script", "fidelty.rhai"]);
    assert!(
        told.starts_with("exit code 1\nerror: there is no script `fidelty.rhai`\n  help: did you mean `fidelity`? built in are: "),
        "{told}"
    );
    insta::assert_snapshot!(caramba(&["script", "scripts/fidelity-2.rhai"]), @r"
    exit code 1
    error: scripts/fidelity-2.rhai: there is no such script
      help: check the path; it is relative to the current directory
    ");
}
