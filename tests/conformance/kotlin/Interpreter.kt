package org.tensorflow.lite

import java.io.BufferedReader
import java.io.File
import java.io.PrintWriter
import java.net.Socket
import org.json.JSONArray
import org.json.JSONObject

/**
 * Stands in for TensorFlow Lite, which has no build for the JVM on a computer: another process runs the file, with
 * LiteRT, and is asked by one line of JSON for each call.
 */
class Interpreter(model: File, @Suppress("UNUSED_PARAMETER") options: Options) : AutoCloseable {
    class Options {
        fun setUseXNNPACK(@Suppress("UNUSED_PARAMETER") use: Boolean) = this
    }

    private val socket = Socket("127.0.0.1", Integer.getInteger("litert.port"))
    private val reader: BufferedReader = socket.getInputStream().bufferedReader()
    private val writer = PrintWriter(socket.getOutputStream(), true)
    private val signatures = ask(JSONObject().put("model", model.path)).getJSONObject("signatures")

    val signatureKeys: Array<String> get() = signatures.keySet().toTypedArray()

    fun getSignatureInputs(signature: String): Array<String> = tensors(signature, "inputs").keySet().toTypedArray()

    fun getInputTensorFromSignature(name: String, signature: String): Tensor = tensor(signature, "inputs", name)

    fun getOutputTensorFromSignature(name: String, signature: String): Tensor = tensor(signature, "outputs", name)

    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signature: String) {
        val values = JSONObject()
        for (name in getSignatureInputs(signature)) values.put(name, flat(inputs.getValue(name)))
        val answer = ask(JSONObject().put("signature", signature).put("inputs", values)).getJSONObject("outputs")
        for ((name, array) in outputs) {
            val row = (array as Array<*>)[0]
            val found = answer.getJSONArray(name)
            when (row) {
                is IntArray -> for (at in row.indices) row[at] = found.getInt(at)
                is FloatArray -> for (at in row.indices) row[at] = found.getDouble(at).toFloat()
            }
        }
    }

    override fun close() = socket.close()

    private fun ask(question: JSONObject): JSONObject {
        writer.println(question)
        val answer = JSONObject(reader.readLine())
        if (answer.has("error")) throw IllegalArgumentException(answer.getString("error"))
        return answer
    }

    private fun tensors(signature: String, side: String) = signatures.getJSONObject(signature).getJSONObject(side)

    private fun tensor(signature: String, side: String, name: String): Tensor {
        val about = tensors(signature, side).getJSONObject(name)
        val shape = about.getJSONArray("shape")
        return object : Tensor by missing() {
            override fun shape() = IntArray(shape.length(), shape::getInt)

            override fun dataType() = DataType.valueOf(about.getString("dtype").uppercase())
        }
    }

    /** JSON has no NaN: null stands for it. */
    private fun flat(value: Any) =
        JSONArray().also { array ->
            when (val row = (value as Array<*>)[0]) {
                is IntArray -> row.forEach { array.put(it) }
                is FloatArray -> row.forEach { array.put(if (it.isNaN()) JSONObject.NULL else it.toDouble()) }
            }
        }

    private fun missing() =
        java.lang.reflect.Proxy.newProxyInstance(javaClass.classLoader, arrayOf(Tensor::class.java)) { _, method, _ ->
            throw UnsupportedOperationException(method.name)
        } as Tensor
}

object TensorFlowLite {
    @JvmStatic
    fun runtimeVersion() = "2.17.0"
}
