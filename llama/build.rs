//! Compiles the C++ side of the boundary.

fn main() {
    println!("cargo:rerun-if-changed=src/guard.cpp");
    cc::Build::new().cpp(true).std("c++17").file("src/guard.cpp").compile("ruminate_llama_guard");
}
