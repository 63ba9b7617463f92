fn main() -> std::process::ExitCode {
    caramba::cli::main()
}
