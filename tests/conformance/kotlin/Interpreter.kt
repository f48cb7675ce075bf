package org.tensorflow.lite

import java.io.BufferedReader
import java.io.File
import java.io.PrintWriter
import java.net.Socket
import org.json.JSONArray
import org.json.JSONObject

/**
 * Stands in for TensorFlow Lite, which has no build for a desktop JVM: another process runs the model with LiteRT. Each
 * call is a line of JSON.
 */
class Interpreter(model: File, @Suppress("UNUSED_PARAMETER") options: Options) : AutoCloseable {
    class Options {
        fun setUseXNNPACK(@Suppress("UNUSED_PARAMETER") use: Boolean) = this
    }

    private val socket = Socket("127.0.0.1", Integer.getInteger("litert.port"))
    private val reader: BufferedReader = socket.getInputStream().bufferedReader()
    private val writer = PrintWriter(socket.getOutputStream(), true)
    private val signatures = call(JSONObject().put("model", model.path)).getJSONObject("signatures")

    val signatureKeys: Array<String> get() = signatures.keySet().toTypedArray()

    fun getSignatureInputs(signature: String): Array<String> = tensors(signature, "inputs").keySet().toTypedArray()

    fun getInputTensorFromSignature(name: String, signature: String): Tensor = tensor(signature, "inputs", name)

    fun getOutputTensorFromSignature(name: String, signature: String): Tensor = tensor(signature, "outputs", name)

    fun runSignature(inputs: Map<String, Any>, outputs: Map<String, Any>, signature: String) {
        val values = JSONObject()
        for (name in getSignatureInputs(signature)) values.put(name, row(inputs.getValue(name)))
        val response = call(JSONObject().put("signature", signature).put("inputs", values)).getJSONObject("outputs")
        for ((name, array) in outputs) {
            val row = (array as Array<*>)[0]
            val values = response.getJSONArray(name)
            when (row) {
                is IntArray -> for (position in row.indices) row[position] = values.getInt(position)
                is FloatArray -> for (position in row.indices) row[position] = values.getDouble(position).toFloat()
            }
        }
    }

    override fun close() = socket.close()

    private fun call(request: JSONObject): JSONObject {
        writer.println(request)
        return JSONObject(reader.readLine())
    }

    private fun tensors(signature: String, side: String) = signatures.getJSONObject(signature).getJSONObject(side)

    private fun tensor(signature: String, side: String, name: String): Tensor {
        val description = tensors(signature, side).getJSONObject(name)
        val shape = description.getJSONArray("shape")
        return object : Tensor by missing() {
            override fun shape() = IntArray(shape.length(), shape::getInt)

            override fun dataType() = DataType.valueOf(description.getString("dtype").uppercase())
        }
    }

    /** Returns a row as JSON, with null for NaN. */
    private fun row(value: Any) =
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
