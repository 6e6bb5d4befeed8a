from llama_cpp import Llama

llama = Llama("model.gguf", n_ctx=256, n_threads=1, n_threads_batch=1, verbose=False, embedding=True)
for number in range(8):
    print(len(llama.embed(f"text number {number}")))
