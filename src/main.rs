//! Larder: Incremental Static Regeneration for any origin renderer, as a reverse caching proxy.

mod access;
mod admin;
mod app;
mod cli;
mod config;
mod origin;
mod prerender;
mod proxy;
mod service;
mod tls;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cli::run()
}
