//! Finds or builds libdbc, and says how to link it.
//!
//! `DBC_SYS` decides: `pkg-config` takes an installed library or fails, `source` compiles the one in `core`. Unset,
//! pkg-config comes first, then the source.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The release of libdbc whose header the declarations were made from.
const VERSION: &str = "0.1.0";

type Outcome = Result<(), Box<dyn Error>>;

fn main() -> Outcome {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=core");
    println!("cargo:rerun-if-env-changed=DBC_SYS");
    #[cfg(feature = "buildtime-bindgen")]
    generate_bindings()?;
    // Documentation is made where nothing can be linked.
    if env::var_os("DOCS_RS").is_some() {
        return Ok(());
    }
    match env::var("DBC_SYS").as_deref() {
        Ok("pkg-config") => link_installed()?,
        Ok("source") => build_from_source()?,
        Ok(other) => return Err(format!("DBC_SYS must be pkg-config or source, got {other:?}").into()),
        Err(env::VarError::NotPresent) => {
            if link_installed().is_err() {
                build_from_source()?;
            }
        }
        Err(error) => return Err(format!("DBC_SYS: {error}").into()),
    }
    Ok(())
}

fn link_installed() -> Outcome {
    let library = pkg_config::Config::new().atleast_version(VERSION).probe("dbc")?;
    // For dependents, as DEP_DBC_LIB: where a library that is not installed system-wide is found at run time.
    if let Some(folder) = library.link_paths.first() {
        println!("cargo:lib={}", folder.display());
    }
    Ok(())
}

fn build_from_source() -> Outcome {
    let core = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("core");
    let mut sources = Vec::new();
    list_sources(&core.join("src"), &mut sources)?;
    if sources.is_empty() {
        return Err(format!("no C++ sources of libdbc under {}", core.display()).into());
    }
    // Hashes are made by an inlined header, so of xxHash only the folder of its headers is wanted, and no library.
    let xxhash = pkg_config::Config::new().cargo_metadata(false).probe("libxxhash")?;
    let sqlite = pkg_config::Config::new().atleast_version("3.37").cargo_metadata(false).probe("sqlite3")?;
    let zstd = pkg_config::Config::new().atleast_version("1.4").cargo_metadata(false).probe("libzstd").ok();
    if zstd.is_none() {
        println!("cargo:warning=libzstd was not found: the option compression will be refused");
    }
    let mut build = cc::Build::new();
    if let Some(zstd) = &zstd {
        build.define("DBC_WITH_ZSTD", None).includes(&zstd.include_paths);
    }
    build
        .cpp(true)
        .std("c++20")
        // Of all that a program consists of, the cache is not what anybody wants slow when debugging it.
        .opt_level(2)
        .define("DBC_STATIC", None)
        .define("NDEBUG", None)
        .flag("-pthread")
        .flag("-fvisibility=hidden")
        .flag("-fvisibility-inlines-hidden")
        .include(core.join("include"))
        .include(core.join("src"))
        .includes(xxhash.include_paths)
        .includes(sqlite.include_paths)
        .files(sources)
        .try_compile("dbc")?;
    // After libdbc, which needs them.
    if zstd.is_some() {
        pkg_config::Config::new().probe("libzstd")?;
    }
    pkg_config::Config::new().atleast_version("3.37").probe("sqlite3")?;
    Ok(())
}

fn list_sources(folder: &Path, sources: &mut Vec<PathBuf>) -> Outcome {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list_sources(&path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "cc") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(())
}

#[cfg(feature = "buildtime-bindgen")]
fn generate_bindings() -> Outcome {
    let target = Path::new(&env::var("OUT_DIR")?).join("bindings.rs");
    bindgen::Builder::default()
        .header("core/include/dbc.h")
        .allowlist_item("(dbc|DBC)_.*")
        .default_enum_style(bindgen::EnumVariation::Consts)
        .prepend_enum_name(false)
        .use_core()
        .merge_extern_blocks(true)
        .rust_target(bindgen::RustTarget::stable(85, 0).map_err(|error| error.to_string())?)
        .rust_edition(bindgen::RustEdition::Edition2024)
        // The header's comments are not written for a tool, but they are the documentation.
        .clang_arg("-fparse-all-comments")
        .generate()?
        .write_to_file(target)?;
    Ok(())
}
