// The parsed template: a tree of statements and expressions, immutable after parsing. Its depth is
// bounded by the parser, so walking and freeing it may recurse.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "common/text/jinja/builtins.h"
#include "common/text/jinja/value.h"

namespace bitnetd::text::jinja {

enum class ExprKind : uint8_t {
    kLiteral,     // literal
    kName,        // name
    kList,        // operands; tuples too
    kDict,        // operands: key, value, key, value, ...
    kAttribute,   // operands[0].name
    kSubscript,   // operands[0][operands[1]]
    kSlice,       // operands[0][operands[1]:operands[2]:operands[3]], absent parts null
    kCall,        // name(arguments): a function or a macro
    kMethodCall,  // operands[0].name(arguments)
    kFilter,      // operands[0] | filter(arguments)
    kTest,        // operands[0] is test(arguments)
    kNot,
    kNegate,
    kPlus,
    kArithmetic,  // operands[0] op operands[1]
    kConcat,      // ~ of all operands
    kCompare,     // operands[0] ops[0] operands[1] ops[1] operands[2] ...
    kAnd,
    kOr,
    kConditional,  // operands[1] if operands[0] else operands[2]; the last may be null
};

enum class CompareOp : uint8_t {
    kEqual,
    kUnequal,
    kLess,
    kLessEqual,
    kGreater,
    kGreaterEqual,
    kIn,
    kNotIn
};

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Argument {
    std::string name;  // empty: by position
    ExprPtr value;
};

struct Expr {
    ExprKind kind = ExprKind::kLiteral;
    char op = 0;  // kArithmetic, as for arithmetic()
    uint32_t line = 0;
    uint32_t depth = 0;  // of the tree below
    Value literal;
    std::string name;  // also of the filter or test, for messages
    std::vector<ExprPtr> operands;
    std::vector<Argument> arguments;
    std::vector<CompareOp> ops;
    Filter filter = nullptr;
    Test test = nullptr;
    Function function = nullptr;  // kCall: null for a macro
};

enum class StatementKind : uint8_t {
    kText,      // text
    kPrint,     // value
    kIf,        // branches
    kFor,       // targets in value if condition: body else otherwise
    kSet,       // targets (or name.attribute) = value
    kSetBlock,  // targets[0] = what body prints
    kMacro,     // name(parameters): body
    kDo,        // value, for its effect
    kBlock,     // body: {% generation %}
    kBreak,
    kContinue,
};

using Body = std::vector<std::unique_ptr<const Statement>>;

struct Branch {
    ExprPtr condition;  // null: else
    Body body;
};

struct Statement {
    StatementKind kind = StatementKind::kText;
    uint32_t line = 0;
    std::string text;
    std::string name;
    std::string attribute;  // kSet: of the namespace targets[0]; else empty
    std::vector<std::string> targets;
    ExprPtr value;
    ExprPtr condition;
    std::vector<Branch> branches;
    std::vector<Argument> parameters;  // value: the default, or null
    Body body;
    Body otherwise;
};

}  // namespace bitnetd::text::jinja
