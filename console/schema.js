// JSON Schema in words: what a value has to be, which members it has, and an example of one. It knows nothing of the page.

/** A document whose references can be followed. */
export class Schemas {
    constructor(root) {
        this.root = root;
    }

    /** What a value stands for, with what is said beside a reference. */
    resolved(value) {
        let resolved = value ?? {};
        for (let depth = 0; resolved.$ref && depth < 10; depth += 1) {
            const { $ref, ...beside } = resolved;
            const path = $ref.replace(/^#\//, "").split("/").map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
            const target = path.reduce((node, name) => node?.[name], this.root) ?? {};
            resolved = { ...target, ...beside };
        }
        return resolved;
    }

    /** What a value may be: "string (uuid) | null", "array of integer". */
    type(value) {
        const schema = this.resolved(value);
        if ("const" in schema) return JSON.stringify(schema.const);
        if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
        const alternatives = schema.anyOf ?? schema.oneOf;
        if (alternatives && !schema.type) return [...new Set(alternatives.map((one) => this.type(one)))].join(" | ");
        const types = [schema.type ?? (schema.properties ? "object" : "any")].flat();
        return types.map((type) => {
            if (type === "array" && schema.items) return `array of ${this.type(schema.items)}`;
            return schema.format && type !== "null" ? `${type} (${schema.format})` : type;
        }).join(" | ");
    }

    /** What else limits it: "1 to 200 characters", "at least 1". */
    limits(value) {
        const schema = this.resolved(value);
        const own = [
            range(schema.minimum, schema.maximum, ""), range(schema.minLength, schema.maxLength, "character"),
            range(schema.minItems, schema.maxItems, "element"), range(schema.minProperties, schema.maxProperties, "member"),
            schema.pattern && schema.pattern.length < 60 ? `like ${schema.pattern}` : null,
            schema.default === undefined ? null : `default ${JSON.stringify(schema.default)}`,
        ];
        const inner = (schema.anyOf ?? schema.oneOf ?? []).map((one) => this.limits(one));
        return [...new Set([...own, ...inner])].filter(Boolean).join(", ");
    }

    /**
     * The members of an object, and of the objects in it, one after the other: { name: "data.items[].quantity", schema, isRequired }.
     * Of several forms, a member is required if each of them requires it.
     */
    fields(value, prefix = "", seen = []) {
        if (value?.$ref && seen.includes(value.$ref)) return [];
        const above = value?.$ref ? [...seen, value.$ref] : seen;
        const schema = this.resolved(value);
        if (above.length > 8) return [];
        if (schema.items) return this.fields(schema.items, `${prefix}[]`, above);
        const found = new Map();
        for (const [name, property] of Object.entries(schema.properties ?? {})) {
            const path = prefix ? `${prefix}.${name}` : name;
            this.add(found, { name: path, schema: property, isRequired: schema.required?.includes(name) ?? false });
            for (const field of this.fields(property, path, above)) this.add(found, field);
        }
        const forms = (schema.anyOf ?? schema.oneOf ?? []).filter((form) => this.resolved(form).type !== "null");
        const lists = forms.map((form) => this.fields(form, prefix, above));
        for (const field of lists.flat()) {
            const isRequired = lists.every((list) => list.some((one) => one.name === field.name && one.isRequired));
            this.add(found, { ...field, isRequired: isRequired && !schema.properties });
        }
        return [...found.values()];
    }

    /** Several forms may tell of one member: the values it may have are joined. */
    add(found, field) {
        const known = found.get(field.name);
        if (!known) found.set(field.name, field);
        else if (this.type(known.schema) !== this.type(field.schema) && this.type(field.schema) !== "any") {
            known.schema = { anyOf: [...(known.schema.anyOf ?? [known.schema]), field.schema] };
        }
    }

    /** A value of this kind, as short as it may be: what is required, and examples where there are some. */
    example(value, depth = 0) {
        const schema = this.resolved(value);
        if (schema.example !== undefined) return schema.example;
        if (schema.examples?.length) return schema.examples[0];
        if ("const" in schema) return schema.const;
        if (schema.default !== undefined) return schema.default;
        if (schema.enum) return schema.enum[0];
        const form = schema.anyOf ?? schema.oneOf;
        if (form && !schema.properties) return this.example(form[0], depth + 1);
        switch ([schema.type ?? (schema.properties ? "object" : "string")].flat()[0]) {
            case "integer": case "number": return schema.minimum ?? 1;
            case "boolean": return true;
            case "array": return depth < 5 && schema.items ? [this.example(schema.items, depth + 1)] : [];
            case "object": {
                const names = (schema.required ?? []).filter((name) => schema.properties?.[name]);
                return depth < 5 ? Object.fromEntries(names.map((name) => [name, this.example(schema.properties[name], depth + 1)])) : {};
            }
            default: return EXAMPLES[schema.format] ?? "text";
        }
    }
}

const EXAMPLES = { uuid: "11111111-1111-4111-8111-111111111111", "date-time": "2026-01-31T18:04:05.123Z" };

function range(least, most, unit) {
    const text = (number) => Number(number).toLocaleString("en-GB");
    const full = (number) => `${text(number)}${unit ? ` ${unit}${number === 1 ? "" : "s"}` : ""}`;
    if (least === undefined && most === undefined) return null;
    if (least === undefined) return `at most ${full(most)}`;
    if (most === undefined) return least === 0 && unit ? null : `at least ${full(least)}`;
    return least === most ? full(least) : `${text(least)} to ${full(most)}`;
}
