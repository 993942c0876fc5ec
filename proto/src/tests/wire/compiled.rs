//! The compiled .proto files as facts, in the words that `table.rs` gives to docs/wire.md.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};

use super::Facts;
use crate::FILE_DESCRIPTOR_SET;

/// All facts of the files that this crate was built from.
pub(super) fn facts() -> Facts {
    let set =
        FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("our own build script wrote it");
    let mut facts = Facts::new();
    for file in &set.file {
        let package = file.package();
        let syntax = if file.syntax().is_empty() { "proto2" } else { file.syntax() };
        facts.insert(format!("package {package}"), syntax.to_owned());
        for message in &file.message_type {
            add_message(&mut facts, package, message);
        }
        for one in &file.enum_type {
            add_enum(&mut facts, package, one);
        }
        for service in &file.service {
            for method in &service.method {
                let path = format!("call /{package}.{}/{}", service.name(), method.name());
                facts.insert(path, call(method));
            }
        }
        assert!(file.extension.is_empty(), "{} has an extension", file.name());
    }
    facts
}

/// A message with its fields and all that is nested in it.
fn add_message(facts: &mut Facts, scope: &str, message: &DescriptorProto) {
    let name = format!("{scope}.{}", message.name());
    let ranges = message.reserved_range.iter().map(|range| (range.start(), range.end() - 1));
    facts.insert(format!("message {name}"), reserved(ranges, &message.reserved_name));
    for field in &message.field {
        facts.insert(format!("field {name}.{}", field.name()), field_type(message, field));
    }
    for nested in &message.nested_type {
        add_message(facts, &name, nested);
    }
    for nested in &message.enum_type {
        add_enum(facts, &name, nested);
    }
    assert!(message.extension_range.is_empty(), "{name} can be extended");
}

/// An enum with its values.
fn add_enum(facts: &mut Facts, scope: &str, one: &EnumDescriptorProto) {
    let name = format!("{scope}.{}", one.name());
    // Unlike those of messages, the reserved ranges of an enum include their end.
    let ranges = one.reserved_range.iter().map(|range| (range.start(), range.end()));
    facts.insert(format!("enum {name}"), reserved(ranges, &one.reserved_name));
    for value in &one.value {
        facts.insert(format!("value {name}.{}", value.name()), value.number().to_string());
    }
}

/// `reserved 3, 6-9, old`; the ranges include both ends.
fn reserved(ranges: impl Iterator<Item = (i32, i32)>, names: &[String]) -> String {
    let ranges =
        ranges.map(
            |(first, last)| {
                if first == last { first.to_string() } else { format!("{first}-{last}") }
            },
        );
    let list: Vec<String> = ranges.chain(names.iter().cloned()).collect();
    if list.is_empty() { String::new() } else { format!("reserved {}", list.join(", ")) }
}

/// `5 repeated metapb.Peer`, `4 int64 in target_union`.
fn field_type(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let label = match field.label() {
        Label::Optional if field.proto3_optional() => "optional ", // the document has no such word
        Label::Optional => "",
        Label::Required => "required ",
        Label::Repeated => "repeated ",
    };
    let type_name = if matches!(field.r#type(), Type::Message | Type::Enum) {
        field.type_name().trim_start_matches('.').to_owned()
    } else {
        field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase()
    };
    let oneof = field.oneof_index.map_or(String::new(), |index| {
        let index = usize::try_from(index).expect("an index");
        format!(" in {}", message.oneof_decl[index].name())
    });
    // Such as [packed = false] or [default = 1], which the document has no words for either.
    let options = if field.options.is_some() || field.default_value.is_some() { " *" } else { "" };
    format!("{} {label}{type_name}{oneof}{options}", field.number())
}

/// `bidi stream schedulerpb.TsoRequest -> schedulerpb.TsoResponse`
fn call(method: &MethodDescriptorProto) -> String {
    let kind = match (method.client_streaming(), method.server_streaming()) {
        (false, false) => "unary",
        (true, false) => "client stream",
        (false, true) => "server stream",
        (true, true) => "bidi stream",
    };
    let bare = |name: &str| name.trim_start_matches('.').to_owned();
    format!("{kind} {} -> {}", bare(method.input_type()), bare(method.output_type()))
}
