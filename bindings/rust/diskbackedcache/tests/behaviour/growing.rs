//! What later releases may add to: whoever names all that there is today has to allow for more. (What must not even compile is
//! at the end of `src/lib.rs`.)

use diskbackedcache::{Answer, Compression, Durability, OnCorrupt, Tier, WriteMode};

// Were an enum complete, its last arm could not be reached.
#[deny(unreachable_patterns)]
#[test]
fn enums_may_grow() {
    let tier = |tier| match tier {
        Tier::Memory => "memory",
        Tier::Disk => "disk",
        _ => "",
    };
    let durability = |durability| match durability {
        Durability::Normal => "normal",
        Durability::Full => "full",
        Durability::Off => "off",
        _ => "",
    };
    let on_corrupt = |on_corrupt| match on_corrupt {
        OnCorrupt::Restart => "restart",
        OnCorrupt::Fail => "fail",
        _ => "",
    };
    let write_mode = |write_mode| match write_mode {
        WriteMode::Through => "through",
        WriteMode::Behind => "behind",
        _ => "",
    };
    let compression = |compression| match compression {
        Compression::None => "none",
        Compression::Zstd => "zstd",
        _ => "",
    };
    assert_eq!([tier(Tier::Memory), durability(Durability::default())], ["memory", "normal"]);
    assert_eq!([on_corrupt(OnCorrupt::default()), write_mode(WriteMode::default())], ["restart", "through"]);
    assert_eq!(compression(Compression::default()), "none");
}

#[test]
fn answers_are_complete() {
    let is_hit = |answer: Answer| match answer {
        Answer::Missing => false,
        Answer::Unchanged | Answer::Changed(_) => true,
    };
    assert!(is_hit(Answer::Unchanged));
}
