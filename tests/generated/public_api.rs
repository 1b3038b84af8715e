//! `tests/public_api.txt`: what the library promises, listed from the source. A change of it says
//! what semantic versioning makes of a change of the library.
//!
//! The list is that of `src/lib.rs`: what it exports by name, and of that everything that is
//! public, what is derived and implemented for it included.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::Generated;
use quote::ToTokens;
use syn::{Attribute, Fields, ImplItem, Item, ItemImpl, TraitItem, Type, UseTree, Visibility};

/// Where what a room exports may be defined, besides the room itself: it passes on what
/// lower ones have.
const ROOMS: [&str; 6] = ["balancer", "control", "relay", "balance", "config", "os"];

/// A source file, parsed.
struct Source {
    room: String,
    items: Vec<Item>,
}

fn sources() -> Vec<Source> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files: Vec<PathBuf> = Vec::new();
    let mut folders = vec![top.clone()];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
        {
            match path.is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|it| it == "rs") => files.push(path),
                false => {}
            }
        }
    }
    files.sort();
    let room_of = |path: &Path| {
        let inside = path.strip_prefix(&top).unwrap();
        let first = inside.components().next().unwrap().as_os_str();
        first.to_str().unwrap().trim_end_matches(".rs").to_owned()
    };
    files
        .iter()
        .map(|path| Source {
            room: room_of(path),
            items: syn::parse_file(&fs::read_to_string(path).unwrap())
                .unwrap()
                .items,
        })
        .collect()
}

/// What `lib.rs` exports: the path it has there, and the room it is from.
fn exports(items: &[Item], inside: &str, found: &mut Vec<(String, String, String)>) {
    for item in items {
        match item {
            Item::Use(it) if is_public(&it.vis) => {
                let mut path = Vec::new();
                leaves(&it.tree, &mut path, &mut |path, name| {
                    let room = path.iter().find(|it| *it != "crate").unwrap();
                    found.push((inside.to_owned(), room.clone(), name.to_owned()));
                });
            }
            Item::Mod(it) if is_public(&it.vis) && !is_hidden(&it.attrs) => {
                let (_, items) = it.content.as_ref().expect("a public module in lib.rs");
                exports(items, &format!("{}::", it.ident), found);
            }
            _ => {}
        }
    }
}

fn leaves(tree: &UseTree, path: &mut Vec<String>, found: &mut impl FnMut(&[String], &str)) {
    match tree {
        UseTree::Path(it) => {
            path.push(it.ident.to_string());
            leaves(&it.tree, path, found);
            path.pop();
        }
        UseTree::Group(it) => it.items.iter().for_each(|item| leaves(item, path, found)),
        UseTree::Name(it) => found(path, &it.ident.to_string()),
        UseTree::Rename(_) | UseTree::Glob(_) => panic!("lib.rs names what it exports as it is"),
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_hidden(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|it| tidy(it) == "#[doc(hidden)]")
}

/// The definition of `name`, and what it is in.
fn definition<'a>(sources: &'a [Source], room: &str, name: &str) -> (&'a str, &'a Item) {
    let from = ROOMS
        .iter()
        .position(|it| *it == room)
        .expect("a room that exports");
    for room in &ROOMS[from..] {
        let ours = sources.iter().filter(|source| source.room == *room);
        let all = ours.flat_map(|source| source.items.iter().map(|it| (&*source.room, it)));
        let mut named = all.filter(|(_, it)| defines(it, name));
        if let Some(found) = named.next() {
            assert!(named.next().is_none(), "there are two of {room}::{name}");
            return found;
        }
    }
    panic!("nothing defines {name}");
}

fn defines(item: &Item, name: &str) -> bool {
    match item {
        Item::Struct(it) => it.ident == name && is_public(&it.vis),
        Item::Enum(it) => it.ident == name && is_public(&it.vis),
        Item::Trait(it) => it.ident == name && is_public(&it.vis),
        Item::Const(it) => it.ident == name && is_public(&it.vis),
        _ => false,
    }
}

/// Tokens without the blanks that are between all of them.
fn tidy(tokens: &impl ToTokens) -> String {
    let mut text = tokens.to_token_stream().to_string().replace('\n', " ");
    for mark in [
        "::", "<", ">", "(", ")", "[", "]", "&", ",", ".", ";", ":", "!", "#", "'",
    ] {
        text = text
            .replace(&format!("{mark} "), mark)
            .replace(&format!(" {mark}"), mark);
    }
    text = text.replace("(mut self", "(self");
    let spaced = text
        .replace(',', ", ")
        .replace("->", " -> ")
        .replace("&'a mut", "&'a mut ");
    spaced
        .replace(":", ": ")
        .replace(": : ", "::")
        .replace("  ", " ")
        .trim()
        .to_owned()
}

fn attributes(attributes: &[Attribute]) -> String {
    let wanted = attributes.iter().filter(|attribute| {
        let path = attribute.path();
        path.is_ident("derive") || path.is_ident("non_exhaustive") || path.is_ident("must_use")
    });
    wanted.map(|attribute| tidy(attribute) + " ").collect()
}

fn fields(fields: &Fields, enums: bool) -> Vec<String> {
    let shown = fields.iter().filter(|field| enums || is_public(&field.vis));
    shown
        .map(|field| match &field.ident {
            Some(name) => format!("{name}: {}", tidy(&field.ty)),
            None => tidy(&field.ty),
        })
        .collect()
}

/// An item and all that belongs to it, one line each.
fn lines(item: &Item) -> Vec<String> {
    match item {
        Item::Struct(it) => {
            let (attributes, generics) = (attributes(&it.attrs), tidy(&it.generics));
            let mut lines = vec![format!("{attributes}struct {}{generics}", it.ident)];
            lines.extend(
                fields(&it.fields, false)
                    .into_iter()
                    .map(|it| format!("    {it}")),
            );
            lines
        }
        Item::Enum(it) => {
            let mut lines = vec![format!("{}enum {}", attributes(&it.attrs), it.ident)];
            lines.extend(it.variants.iter().map(|variant| {
                let fields = fields(&variant.fields, true).join(", ");
                format!("    {} {fields}", variant.ident)
                    .trim_end()
                    .to_owned()
            }));
            lines
        }
        Item::Trait(it) => {
            let bounds = tidy(&it.supertraits);
            let mut lines = vec![format!("trait {}: {bounds}", it.ident)];
            lines.extend(it.items.iter().map(|item| match item {
                TraitItem::Fn(it) => {
                    let provided = if it.default.is_some() { " { .. }" } else { "" };
                    format!("    {}{provided}", tidy(&it.sig))
                }
                other => format!("    {}", tidy(other)),
            }));
            lines
        }
        Item::Const(it) => vec![format!("const {}", tidy(&it.ty))],
        _ => unreachable!("only these are defined"),
    }
}

/// What is implemented for `name`: public methods and constants, and traits.
fn implemented(sources: &[Source], room: &str, name: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for source in sources.iter().filter(|source| source.room == room) {
        for item in &source.items {
            if let Item::Impl(it) = item
                && is_of(&it.self_ty, name)
            {
                lines.extend(of_impl(it));
            }
        }
    }
    lines.sort();
    lines
}

fn is_of(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Path(it) => it.path.segments.len() == 1 && it.path.segments[0].ident == name,
        _ => false,
    }
}

fn of_impl(it: &ItemImpl) -> Vec<String> {
    // Only where it is compiled with what the list is made of.
    if it
        .attrs
        .iter()
        .any(|attribute| tidy(attribute).contains("test"))
    {
        return Vec::new();
    }
    if let Some((_, path, _)) = &it.trait_ {
        return vec![format!("    impl {}", tidy(path))];
    }
    let public = it.items.iter().filter_map(|item| match item {
        ImplItem::Fn(it) if is_public(&it.vis) && !is_hidden(&it.attrs) => {
            Some(format!("    {}{}", attributes(&it.attrs), tidy(&it.sig)))
        }
        ImplItem::Const(it) if is_public(&it.vis) && !is_hidden(&it.attrs) => {
            Some(format!("    const {}: {}", it.ident, tidy(&it.ty)))
        }
        _ => None,
    });
    public.collect()
}

pub(super) fn list() -> Generated {
    let sources = sources();
    let mut exported = Vec::new();
    let library = sources.iter().find(|source| source.room == "lib").unwrap();
    exports(&library.items, "", &mut exported);
    let mut listed = BTreeMap::new();
    for (inside, room, name) in exported {
        let (room, item) = definition(&sources, &room, &name);
        let mut lines = lines(item);
        lines.extend(implemented(&sources, room, &name));
        listed.insert(format!("txlb::{inside}{name}"), lines.join("\n"));
    }
    let list = listed
        .iter()
        .map(|(path, lines)| format!("{path}\n{lines}\n\n"))
        .collect();
    ("tests/public_api.txt", list)
}
