from llama_cpp import Llama

llama = Llama("model.gguf", n_ctx=512, n_threads=1, n_threads_batch=1, verbose=False)
answer = llama.create_completion("The capital of France is", max_tokens=32, temperature=0)
print(answer["choices"][0]["text"])
