//! What `wit-bindgen` makes of the contract in `wit/`: the imports once, and one small world a phase, so that a
//! filter's component exports the phases it named and no other. Nothing here is public; the crate re-exports by hand.
#![allow(
    unsafe_code,
    missing_docs,
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::all,
    reason = "generated: it crosses the canonical ABI by pointers, and names every item of the contract"
)]

wit_bindgen::generate!({
    path: "../../wit",
    world: "imports",
    additional_derives: [PartialEq],
    generate_unused_types: true,
});

/// A world that exports one interface, and its macro `export`. `$with` says where its types are already.
macro_rules! phase {
    ($module:ident, $world:tt, $with:tt) => {
        pub mod $module {
            wit_bindgen::generate!({
                path: "../../wit",
                inline: $world,
                with: $with,
                pub_export_macro: true,
            });
        }
    };
}

phase!(
    lifecycle,
    "package tollgate:sdk-lifecycle; world lifecycle { export tollgate:filter/lifecycle@0.1.0; }",
    {}
);
phase!(
    on_request,
    "package tollgate:sdk-on-request; world on-request { export tollgate:filter/on-request@0.1.0; }",
    { "tollgate:filter/types@0.1.0": crate::bindings::tollgate::filter::types }
);
phase!(
    on_request_body,
    "package tollgate:sdk-on-request-body; world on-request-body { export tollgate:filter/on-request-body@0.1.0; }",
    { "tollgate:filter/types@0.1.0": crate::bindings::tollgate::filter::types }
);
phase!(
    on_attempt,
    "package tollgate:sdk-on-attempt; world on-attempt { export tollgate:filter/on-attempt@0.1.0; }",
    { "tollgate:filter/types@0.1.0": crate::bindings::tollgate::filter::types }
);
phase!(
    on_response,
    "package tollgate:sdk-on-response; world on-response { export tollgate:filter/on-response@0.1.0; }",
    { "tollgate:filter/types@0.1.0": crate::bindings::tollgate::filter::types }
);
phase!(
    on_response_chunk,
    "package tollgate:sdk-on-response-chunk; world on-response-chunk { export tollgate:filter/on-response-chunk@0.1.0; }",
    { "tollgate:filter/types@0.1.0": crate::bindings::tollgate::filter::types }
);
phase!(
    on_complete,
    "package tollgate:sdk-on-complete; world on-complete { export tollgate:filter/on-complete@0.1.0; }",
    { "tollgate:filter/types@0.1.0": crate::bindings::tollgate::filter::types }
);
