// llama.cpp's chat.cpp as it is, and a C interface to what its programs do with it: a conversation
// becomes a prompt, and what a model wrote becomes its thoughts and its answer.
#include "chat.cpp"

#include <new>
#include <unistd.h>

#include "engine/common_answer.h"

namespace {

using texts = std::vector<std::string>;

std::string list_of(const texts & items) {
    auto list = json::array();
    for (const auto & item : items) {
        list.push_back(item);
    }
    return list.dump();
}

common_chat_templates_ptr parsed(const std::string & source, const std::string & bos,
                                 const std::string & eos) {
    try {
        return common_chat_templates_init(nullptr, source, bos, eos);
    } catch (const std::exception &) {
        // It throws a copy that has lost its text: the same again says why.
        common_chat_template(source, bos, eos);
        throw;
    }
}

common_chat_templates_ptr templates_of(const llamactl_chat & chat) {
    auto templates = parsed(llamactl::text_of(chat.source), llamactl::text_of(chat.bos),
                            llamactl::text_of(chat.eos));
    // With a model it would ask its vocabulary.
    templates->add_bos = chat.adds_bos;
    templates->add_eos = chat.adds_eos;
    return templates;
}

common_chat_templates_inputs inputs_of(const llamactl_chat & chat) {
    common_chat_templates_inputs inputs;
    for (size_t i = 0; i < chat.n_messages; i++) {
        common_chat_msg message;
        message.role = llamactl::text_of(chat.messages[2 * i]);
        message.content = llamactl::text_of(chat.messages[2 * i + 1]);
        inputs.messages.push_back(std::move(message));
    }
    const auto arguments = json::parse(llamactl::text_of(chat.arguments));
    for (const auto & [name, value] : arguments.items()) {
        inputs.chat_template_kwargs[name] = value.dump();
    }
    inputs.enable_thinking = chat.thinking;
    inputs.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    return inputs;
}

// A parser of answers can't be made for every template, but the template can be rendered still.
common_chat_params applied(const common_chat_templates * templates,
                           common_chat_templates_inputs inputs) {
    try {
        return common_chat_templates_apply(templates, inputs);
    } catch (const std::exception &) {
        inputs.force_pure_content = true;
        auto plain = common_chat_templates_apply(templates, inputs);
        plain.parser.clear();
        return plain;
    }
}

texts render(const llamactl_chat & chat) {
    const auto templates = templates_of(chat);
    const auto made = applied(templates.get(), inputs_of(chat));
    return {made.prompt,
            made.generation_prompt,
            std::to_string((int) made.format),
            made.parser,
            made.thinking_start_tag,
            list_of(made.thinking_end_tags),
            list_of(made.preserved_tokens)};
}

texts split(const llamactl_reply & reply) {
    common_chat_parser_params params;
    params.format = (common_chat_format) reply.format;
    params.reasoning_format = COMMON_REASONING_FORMAT_DEEPSEEK;
    params.generation_prompt = llamactl::text_of(reply.generation_prompt);
    params.parser.load(llamactl::text_of(reply.parser));
    const auto message = common_chat_parse(llamactl::text_of(reply.text), reply.is_partial, params);
    return {message.reasoning_content, message.content};
}

// What a template raises by itself, and memory that it doesn't get, come as texts.
llamactl_answer * told(llamactl_answer * answer) {
    const std::string raised = "Jinja Exception: ";
    if (answer && answer->status == LLAMACTL_FAILED) {
        auto & text = answer->parts[0];
        const auto at = text.rfind(raised);
        if (at != std::string::npos) {
            answer->status = LLAMACTL_REFUSED;
            text = text.substr(at + raised.size());
        } else if (text.find("std::bad_alloc") != std::string::npos) {
            answer->status = LLAMACTL_NO_MEMORY;
        }
    }
    return answer;
}

} // namespace

extern "C" void llamactl_end_without_memory(int status) {
    static int ends_with;
    ends_with = status;
    std::set_new_handler([] { _exit(ends_with); });
}

extern "C" llamactl_answer * llamactl_chat_render(const llamactl_chat * chat) {
    return told(llamactl::answer([&] { return render(*chat); }));
}

extern "C" llamactl_answer * llamactl_chat_split(const llamactl_reply * reply) {
    return told(llamactl::answer([&] { return split(*reply); }));
}
