//! The program in every image; see the library.

fn main() -> std::process::ExitCode {
    flatimage::main()
}
