//! `erlang/codec/hep_registry.erl` equals the registry.

#[path = "../examples/registry.rs"]
mod registry;

#[test]
fn the_erlang_module_is_the_generated_one() {
    let committed = include_str!("../../../erlang/codec/hep_registry.erl");
    assert_eq!(committed, registry::module(), "run `make registry`");
}
