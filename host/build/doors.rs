//! Writes the two doors by which a guest reaches the host, from the contract in `wit/`: one for components, with
//! `wasmtime`'s own lifting and lowering, and one for core modules, which speaks the canonical ABI itself. Both call the
//! same functions, `imports::<interface>::<function>(guest, …)`, which borrow what they take and what they answer.
//!
//! | in `wit/` | taken | answered |
//! |---|---|---|
//! | `string`, `list<u8>` | `&str`, `&[u8]` | `Cow<str>`, `Cow<[u8]>` |
//! | `option<string>` | | `Option<Cow<str>>` |
//! | `list<string>`, `list<list<u8>>` | | `Vec<Cow<str>>`, `Vec<&[u8]>` |
//! | `list<tuple<string, string>>` | `&[(&str, &str)]` | |
//! | a handle | `u32`, its place in the instance's table | the same |
//! | numbers, enums, records of numbers, `option` and `result` of these | themselves | themselves |
//!
//! Anything else in `wit/` stops the build, and says what is missing here.

use std::fmt::Write as _;
use std::path::Path;

use wit_parser::abi::{AbiVariant, WasmType};
use wit_parser::{
    Function, Handle, InterfaceId, Resolve, SizeAlign, Type, TypeDefKind, TypeId, TypeOwner, WorldItem,
};

/// The text of `doors.rs`.
pub(crate) fn generate(wit: &Path) -> Result<String, String> {
    let mut resolve = Resolve::default();
    let read = resolve.push_dir(wit).map_err(|error| format!("wit/ is not right\n{error:#}"))?;
    let world = resolve.select_world(&[read.0], Some("imports")).map_err(|error| format!("{error:#}"))?;
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    let contract = Contract { resolve: &resolve, sizes };
    let (mut component, mut direct) = (String::new(), String::new());
    for item in resolve.worlds[world].imports.values() {
        if let WorldItem::Interface { id, .. } = item {
            contract.interface(*id, &mut component, &mut direct)?;
        }
    }
    Ok(format!(
        "/// What a component may import.\n\
         #[allow(unused_mut, unused_variables, clippy::too_many_lines, reason = \"generated\")]\n\
         pub(super) fn component(linker: &mut component::Linker<Guest>) -> Result<()> {{\n{component}    Ok(())\n}}\n\n\
         /// What a core module may import.\n\
         #[allow(unused_variables, clippy::too_many_lines, reason = \"generated\")]\n\
         pub(super) fn direct(linker: &mut Linker<Guest>) -> Result<()> {{\n{direct}    Ok(())\n}}\n"
    ))
}

struct Contract<'a> {
    resolve: &'a Resolve,
    sizes: SizeAlign,
}

/// How a type crosses, as far as the two doors differ.
enum Shape {
    Text,
    Bytes,
    Pairs,
    /// A number, by its Rust type.
    Number(&'static str),
    Bool,
    /// An enum or a record, by its path among the bindings.
    Enum(TypeId, String),
    Record(TypeId),
    /// A handle, by the path of its type.
    Handle(String),
    Option(Box<Shape>, Type),
    /// No value, or an error that is an enum.
    Result(Type),
    Texts,
    Lists,
}

impl Contract<'_> {
    fn interface(&self, id: InterfaceId, component: &mut String, direct: &mut String) -> Result<(), String> {
        let interface = &self.resolve.interfaces[id];
        let (Some(name), Some(full)) = (&interface.name, self.resolve.id_of(id)) else {
            return Err("an interface without a name".into());
        };
        let module = snake(name);
        let _ = writeln!(component, "    let mut instance = linker.instance({full:?})?;");
        for (resource, ty) in &interface.types {
            if matches!(self.resolve.types[*ty].kind, TypeDefKind::Resource) {
                let (path, drop) = (
                    format!("imports::{}", camel(resource)),
                    format!("imports::{module}::{}_drop", snake(resource)),
                );
                let _ = writeln!(
                    component,
                    "    instance.resource({resource:?}, ResourceType::host::<{path}>(), |mut store, rep| {drop}(store.data_mut(), rep))?;"
                );
                let _ = writeln!(
                    direct,
                    "    linker.func_wrap({full:?}, \"[resource-drop]{resource}\", |mut caller: Caller<'_, Guest>, handle: u32| -> Result<()> {{\n        \
                     let (_, guest) = abi::enter(&mut caller)?;\n        {drop}(guest, abi::rep(handle)?)\n    }})?;"
                );
            }
        }
        for function in interface.functions.values() {
            let within = |error| format!("wit/, `{full}`, `{}`: {error}", function.name);
            component.push_str(&self.component(&module, function).map_err(within)?);
            direct.push_str(&self.direct(&full, &module, function).map_err(within)?);
        }
        Ok(())
    }

    /// `imports::<interface>::<function>`
    fn callee(module: &str, function: &Function) -> String {
        let name = function.name.rsplit(']').next().unwrap_or(&function.name);
        format!("imports::{module}::{}", snake(&name.replace('.', "-")))
    }

    fn component(&self, module: &str, function: &Function) -> Result<String, String> {
        let (mut names, mut types, mut arguments) = (String::new(), String::new(), String::new());
        for param in &function.params {
            let name = parameter(&param.name);
            let (ty, argument) = match self.shape(&param.ty)? {
                Shape::Text => ("String".into(), format!("&{name}")),
                Shape::Bytes => ("Vec<u8>".into(), format!("&{name}")),
                Shape::Pairs => ("Vec<(String, String)>".into(), format!("&abi::lend_pairs(&{name})")),
                Shape::Number(ty) => (ty.into(), name.clone()),
                Shape::Enum(_, path) => (path, name.clone()),
                Shape::Handle(path) => (format!("Resource<{path}>"), format!("{name}.rep()")),
                _ => return Err(format!("no way to take `{}`", param.name)),
            };
            let _ = write!(names, "{name}, ");
            let _ = write!(types, "{ty}, ");
            let _ = write!(arguments, ", {argument}");
        }
        let callee = format!("{}(store.data_mut(){arguments})", Self::callee(module, function));
        let body = match function.result.map(|ty| self.shape(&ty)).transpose()? {
            None => callee,
            Some(shape) => format!("let answer = {callee}?;\n        Ok(({},))", component_answer(&shape)?),
        };
        Ok(format!(
            "    instance.func_wrap({:?}, |mut store: StoreContextMut<'_, Guest>, ({names}): ({types})| {{\n        \
             {body}\n    }})?;\n",
            function.name,
        ))
    }

    fn direct(&self, full: &str, module: &str, function: &Function) -> Result<String, String> {
        let signature = self.resolve.wasm_signature(AbiVariant::GuestImport, function);
        let mut flat = signature.params.iter().enumerate();
        let (mut parameters, mut lifted, mut arguments) = (String::new(), String::new(), String::new());
        let mut next = |ty: &str| {
            let (index, wasm) = flat.next().ok_or("more parameters than the signature has")?;
            if wasm_type(wasm) != wasm_type_of(ty) {
                return Err(format!("`{ty}` where the signature has {wasm:?}"));
            }
            let _ = write!(parameters, ", p{index}: {ty}");
            Ok::<_, String>(format!("p{index}"))
        };
        for param in &function.params {
            let name = parameter(&param.name);
            let value = match self.shape(&param.ty)? {
                Shape::Text => format!("abi::text(memory, {}, {})?", next("u32")?, next("u32")?),
                Shape::Bytes => format!("abi::bytes(memory, {}, {})?", next("u32")?, next("u32")?),
                Shape::Pairs => format!("&abi::pairs(memory, {}, {})?", next("u32")?, next("u32")?),
                Shape::Number("u16") => format!("abi::low_half({})", next("u32")?),
                Shape::Number(ty) => next(ty)?,
                Shape::Enum(id, path) => self.case(id, &path, &next("u32")?),
                Shape::Handle(_) => format!("abi::rep({})?", next("u32")?),
                _ => return Err(format!("no way to take `{}`", param.name)),
            };
            let _ = writeln!(lifted, "        let {name} = {value};");
            let _ = write!(arguments, ", {name}");
        }
        if signature.retptr {
            parameters.push_str(", at: u32");
        }
        let callee = format!("{}(guest{arguments})", Self::callee(module, function));
        let (result, body) = match &function.result {
            None => ("()".into(), callee),
            Some(ty) => {
                let (result, answer) = self.direct_answer(ty)?;
                (result, format!("let answer = {callee}?;\n        {answer}"))
            }
        };
        Ok(format!(
            "    linker.func_wrap({full:?}, {:?}, |mut caller: Caller<'_, Guest>{parameters}| -> Result<{result}> {{\n        \
             let (memory, guest) = abi::enter(&mut caller)?;\n        let arena = guest.arena();\n{lifted}        \
             {body}\n    }})?;\n",
            function.name,
        ))
    }

    /// The type that the core function returns, and how the answer gets there.
    fn direct_answer(&self, ty: &Type) -> Result<(String, String), String> {
        let gift = |gift: &str| {
            let give = format!(
                "let gift = {gift};\n        match abi::give(memory, arena, &gift, at)? {{\n            \
                 true => Ok(()),\n            false => {{\n                let gift = gift.into_owned();\n                \
                 abi::give_by_realloc(&mut caller, &gift, at)\n            }}\n        }}"
            );
            Ok(("()".into(), give))
        };
        match self.shape(ty)? {
            Shape::Number("u16") => Ok(("u32".into(), "Ok(u32::from(answer))".into())),
            Shape::Number(number) => Ok((number.into(), "Ok(answer)".into())),
            Shape::Handle(_) => Ok(("u32".into(), "abi::handle(answer)".into())),
            Shape::Text => gift("abi::Gift::One(abi::as_bytes(answer))"),
            Shape::Bytes => gift("abi::Gift::One(answer)"),
            Shape::Option(shape, _) if matches!(*shape, Shape::Text) => {
                gift("abi::Gift::Maybe(answer.map(abi::as_bytes))")
            }
            Shape::Texts => gift("abi::Gift::Many(answer.into_iter().map(abi::as_bytes).collect())"),
            Shape::Lists => gift("abi::Gift::Many(answer.into_iter().map(Cow::Borrowed).collect())"),
            shape => Ok(("()".into(), self.stores(&shape, ty)?)),
        }
    }

    /// Writes an answer that needs no memory of the guest's but where it is to lie.
    fn stores(&self, shape: &Shape, ty: &Type) -> Result<String, String> {
        let size = self.sizes.size(ty).size_wasm32();
        let align = self.sizes.align(ty).align_wasm32();
        let to = format!("let to = abi::place::<{size}>(memory, at, {align})?;\n        ");
        let payload = |case: &Type| self.sizes.payload_offset(disc(), [Some(case), None]).size_wasm32();
        let text = match shape {
            Shape::Option(of, inner) => {
                let value = self.store(of, "value", payload(inner))?;
                format!(
                    "to[0] = u8::from(answer.is_some());\n        if let Some(value) = answer {{\n            {value}\n        }}\n        Ok(())"
                )
            }
            Shape::Result(error) => {
                let value = self.store(&self.shape(error)?, "error", payload(error))?;
                format!(
                    "to[0] = u8::from(answer.is_err());\n        if let Err(error) = answer {{\n            {value}\n        }}\n        Ok(())"
                )
            }
            Shape::Record(id) => {
                let TypeDefKind::Record(record) = &self.resolve.types[*id].kind else {
                    return Err("a record that is none".into());
                };
                let offsets = self.sizes.field_offsets(record.fields.iter().map(|field| &field.ty));
                let mut text = String::new();
                for (field, (offset, ty)) in record.fields.iter().zip(offsets) {
                    let value = format!("answer.{}", snake(&field.name));
                    let _ = write!(
                        text,
                        "{}\n        ",
                        self.store(&self.shape(ty)?, &value, offset.size_wasm32())?
                    );
                }
                text + "Ok(())"
            }
            _ => return Err("no way to answer this type".into()),
        };
        Ok(to + &text)
    }

    /// Writes one flat value at an offset of `to`, which is an array: all of it is known to fit.
    fn store(&self, shape: &Shape, value: &str, offset: usize) -> Result<String, String> {
        let number =
            |size: usize| format!("to[{offset}..{}].copy_from_slice(&{value}.to_le_bytes());", offset + size);
        match shape {
            Shape::Bool => Ok(format!("to[{offset}] = u8::from({value});")),
            Shape::Enum(..) => Ok(format!("to[{offset}] = {value} as u8;")),
            Shape::Number("u16") => Ok(number(2)),
            Shape::Number("u32") => Ok(number(4)),
            Shape::Number(_) => Ok(number(8)),
            _ => Err("no way to answer this within another type".into()),
        }
    }

    /// The case of an enum by its number.
    fn case(&self, id: TypeId, path: &str, number: &str) -> String {
        let TypeDefKind::Enum(cases) = &self.resolve.types[id].kind else { return String::new() };
        let mut text = format!("match {number} {{ ");
        for (number, case) in cases.cases.iter().enumerate() {
            let _ = write!(text, "{number} => {path}::{}, ", camel(&case.name));
        }
        text + "_ => return Err(abi::no_case()) }"
    }

    fn shape(&self, ty: &Type) -> Result<Shape, String> {
        Ok(match ty {
            Type::String => Shape::Text,
            Type::Bool => Shape::Bool,
            Type::U16 => Shape::Number("u16"),
            Type::U32 => Shape::Number("u32"),
            Type::U64 => Shape::Number("u64"),
            Type::S64 => Shape::Number("i64"),
            Type::F64 => Shape::Number("f64"),
            Type::Id(id) => self.defined(*id)?,
            other => return Err(format!("no shape for {other:?}")),
        })
    }

    fn defined(&self, id: TypeId) -> Result<Shape, String> {
        let definition = &self.resolve.types[id];
        Ok(match &definition.kind {
            TypeDefKind::Type(ty) => self.shape(ty)?,
            TypeDefKind::List(Type::U8) => Shape::Bytes,
            TypeDefKind::List(Type::String) => Shape::Texts,
            TypeDefKind::List(Type::Id(of)) => match &self.resolve.types[*of].kind {
                TypeDefKind::List(Type::U8) => Shape::Lists,
                TypeDefKind::Tuple(tuple) if tuple.types == [Type::String, Type::String] => Shape::Pairs,
                _ => return Err("no shape for a list of this".into()),
            },
            TypeDefKind::Option(of) => Shape::Option(Box::new(self.shape(of)?), *of),
            TypeDefKind::Result(result) => match (&result.ok, &result.err) {
                (None, Some(error)) => Shape::Result(*error),
                _ => return Err("no shape for this result".into()),
            },
            TypeDefKind::Enum(_) => Shape::Enum(id, self.path(id)?),
            TypeDefKind::Record(_) => Shape::Record(id),
            TypeDefKind::Handle(Handle::Own(of) | Handle::Borrow(of)) => {
                Shape::Handle(format!("imports::{}", camel(self.name(*of)?)))
            }
            other => return Err(format!("no shape for a {}", other.as_str())),
        })
    }

    fn name(&self, id: TypeId) -> Result<&str, String> {
        self.resolve.types[id].name.as_deref().ok_or_else(|| "a type without a name".into())
    }

    /// Where the generated bindings have a type: in the interface that defines it.
    fn path(&self, id: TypeId) -> Result<String, String> {
        let TypeOwner::Interface(owner) = self.resolve.types[id].owner else {
            return Err("a type outside an interface".into());
        };
        let interface = self.resolve.interfaces[owner].name.as_deref().unwrap_or_default();
        Ok(format!("bindings::{}::{}", snake(interface), camel(self.name(id)?)))
    }
}

fn component_answer(shape: &Shape) -> Result<String, String> {
    Ok(match shape {
        Shape::Text | Shape::Bytes => "answer.into_owned()".into(),
        Shape::Option(of, _) if matches!(**of, Shape::Text) => "answer.map(Cow::into_owned)".into(),
        Shape::Texts => "answer.into_iter().map(Cow::into_owned).collect::<Vec<_>>()".into(),
        Shape::Lists => "answer.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>()".into(),
        Shape::Handle(path) => format!("Resource::<{path}>::new_own(answer)"),
        Shape::Number(_) | Shape::Option(..) | Shape::Result(_) | Shape::Record(_) => "answer".into(),
        Shape::Bool | Shape::Enum(..) | Shape::Pairs => return Err("no way to answer this type".into()),
    })
}

/// How a variant's case is told: in one byte, since none here has more than 256.
fn disc() -> wit_parser::Int {
    wit_parser::Int::U8
}

fn wasm_type(ty: &WasmType) -> &'static str {
    match ty {
        WasmType::I32 | WasmType::Pointer | WasmType::Length => "i32",
        WasmType::I64 | WasmType::PointerOrI64 => "i64",
        WasmType::F32 => "f32",
        WasmType::F64 => "f64",
    }
}

fn wasm_type_of(rust: &str) -> &'static str {
    match rust {
        "u64" | "i64" => "i64",
        "f64" => "f64",
        _ => "i32",
    }
}

fn parameter(name: &str) -> String {
    if name == "self" { "handle".into() } else { snake(name) }
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

fn camel(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    name.split('-').map(capital).collect()
}
